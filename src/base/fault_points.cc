// The table of fault points. One row a step of the migration protocol (docs/design/migration.md).
#include "base/fault.h"

namespace godwit::fault {

const std::vector<Point>& points() {
  static const std::vector<Point> table = {
      {"controller.planned", "the migration is in the store, no node knows of it"},
      {"controller.commit", "the commit request arrived, the store is unchanged"},
      {"controller.committed", "the store holds the new epoch, nobody was told"},
      {"source.prepare", "the source's daemon was asked to migrate, the keeper wasn't"},
      {"source.keeper", "the source's keeper was told to migrate, nothing is touched"},
      {"source.connected", "the streams to the destination are open"},
      {"source.precopy", "a round of memory was sent"},
      {"source.frozen", "all threads are stopped"},
      {"source.captured", "the state is captured, not sent"},
      {"source.transferred", "everything was sent, the destination has not answered"},
      {"source.verdict", "the destination's verdict arrived, the source has not acted"},
      {"source.serving", "lazy: the unit runs at the destination, none of its memory was pushed"},
      {"source.discarded", "the source's copy is gone, the controller was not told"},
      {"checkpoint.frozen", "a checkpoint is being taken, all threads are stopped"},
      {"checkpoint.captured", "the checkpoint is captured, the unit stands"},
      {"checkpoint.publish", "the unit runs on, its checkpoint has no name yet"},
      {"restore.files", "the files of a unit that is restored from an image are here"},
      {"restore.restored", "a unit is rebuilt from an image and stopped"},
      {"destination.prepare", "the destination's daemon was asked, the keeper isn't started"},
      {"destination.keeper", "the destination's keeper runs, nothing has arrived"},
      {"destination.precopy", "a round of memory arrived"},
      {"destination.received", "the final state arrived, nothing is built from it"},
      {"destination.restored", "rebuilt and stopped, not committed"},
      {"destination.commit", "the commit was sent, no answer has come"},
      {"destination.answered", "the keeper has the commit's answer, the destination's daemon has not noted it"},
      {"destination.committed", "the commit was granted, nothing runs"},
      {"destination.running", "the unit runs here, the source was not told"},
      {"destination.arriving", "lazy: the last missing page arrived, the source was not told"},
  };
  return table;
}

}  // namespace godwit::fault

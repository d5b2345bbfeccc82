// What a move is charged beyond its cost.
//
// G-JavaMPI (Chen, Wang and Lau, "A grid middleware for distributed Java computing with MPI binding and process migration
// supports", JCST 2003, and Chen's work on its rescheduling) runs Min-min and a genetic algorithm in three strengths: with
// none, a moderate and a large penalty on moving, when the grid is extended and when it shrinks. The reason: predictions are
// wrong, a move made for a gain of two percent often isn't one, and a mapping made from nothing moves nearly everything
// although a few moves would have been as good.
//
// Here the penalty is a part of the unit's remaining time where it is (10 % and 50 %, settings `moderate` and `large`),
// charged to every move that isn't forced: so it grows with what is at stake and needs no unit of its own. Why not a multiple
// of the move's cost: moves that cost 30 ms would then be free at any multiple.
#include "sched/weighted.h"

namespace godwit::sched {

std::string_view penalty_word(Penalty penalty) {
  switch (penalty) {
    case Penalty::kNone: return "none";
    case Penalty::kModerate: return "moderate";
    case Penalty::kLarge: return "large";
  }
  return "none";
}

double penalty_of(const Settings& settings, EventKind kind) {
  switch (shrinks(kind) ? settings.shrink : settings.extension) {
    case Penalty::kNone: return 0;
    case Penalty::kModerate: return settings.moderate;
    case Penalty::kLarge: return settings.large;
  }
  return 0;
}

}  // namespace godwit::sched

#include "files/wire.h"

#include <climits>
#include <cstring>

#include "files/beneath.h"
#include "godwit/files.pb.h"

namespace godwit::files {
namespace {

void put(const Recipe& from, v1::Recipe& to) {
  to.set_path(from.path);
  to.set_kind(static_cast<v1::Recipe::Kind>(from.kind));
  to.set_mode(from.mode);
  to.set_uid(from.uid);
  to.set_gid(from.gid);
  to.set_mtime_ns(from.mtime_ns);
  for (const Attribute& a : from.attributes) {
    auto* attribute = to.add_attributes();
    attribute->set_name(a.name);
    attribute->set_value(a.value);
  }
  to.set_size(from.content.size);
  std::string* ids = to.mutable_chunk_ids();
  ids->reserve(from.content.pieces.size() * 32);
  for (const Content::Piece& piece : from.content.pieces) {
    to.add_chunk_index(piece.index);
    ids->append(reinterpret_cast<const char*>(piece.id.bytes.data()), piece.id.bytes.size());
  }
  to.set_target(from.target);
  to.set_hard_link_to(from.hard_link_to);
}

Result<Recipe> get(const v1::Recipe& from) {
  Recipe to;
  to.path = from.path();
  if (from.kind() < 1 || from.kind() > 5) return fail(Code::kCorrupt, "a recipe of unknown kind");
  to.kind = static_cast<Kind>(from.kind());
  to.mode = from.mode();
  to.uid = from.uid();
  to.gid = from.gid();
  to.mtime_ns = from.mtime_ns();
  for (const auto& a : from.attributes()) to.attributes.push_back({a.name(), a.value()});
  to.content.size = from.size();
  const auto count = static_cast<size_t>(from.chunk_index_size());
  if (from.chunk_ids().size() != count * 32)
    return fail(Code::kCorrupt, "a recipe with unequal numbers of chunks and indices");
  to.content.pieces.resize(count);
  for (size_t i = 0; i < count; ++i) {
    to.content.pieces[i].index = from.chunk_index(static_cast<int>(i));
    std::memcpy(to.content.pieces[i].id.bytes.data(), from.chunk_ids().data() + i * 32, 32);
  }
  to.target = from.target();
  to.hard_link_to = from.hard_link_to();
  TRY_DO(check_recipe(to));
  return to;
}

void put(const Tree& from, v1::Tree& to) {
  for (const Recipe& entry : from.entries) put(entry, *to.add_entries());
}

Result<Tree> get(const v1::Tree& from) {
  Tree to;
  for (const auto& entry : from.entries()) {
    TRY(auto recipe, get(entry));
    to.entries.push_back(std::move(recipe));
  }
  TRY_DO(check_tree(to));
  return to;
}

void put(const Demand& from, v1::Demand& to) {
  put(from.recipe, *to.mutable_recipe());
  to.set_use(static_cast<uint32_t>(from.use));
  to.set_used_by(from.used_by);
  to.set_optional(from.optional);
}

Result<Demand> get(const v1::Demand& from) {
  Demand to;
  TRY(to.recipe, get(from.recipe()));
  if (from.use() > static_cast<uint32_t>(Use::kWith)) return fail(Code::kCorrupt, "a demand of unknown use");
  to.use = static_cast<Use>(from.use());
  to.used_by = from.used_by().substr(0, 4096);
  to.optional = from.optional();
  return to;
}

// Parsing bounds itself: protobuf refuses messages of 2 GiB, and allocates no more than some multiple of what arrived.
template <typename Message>
Result<Message> parse(std::string_view bytes, const char* what) {
  Message message;
  if (bytes.size() > INT_MAX || !message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return fail(Code::kCorrupt, std::string("bytes that are no ") + what);
  return message;
}

}  // namespace

std::string encode(const Offer& offer) {
  v1::Offer to;
  to.set_version(1);
  for (const Demand& demand : offer.demands) put(demand, *to.add_demands());
  for (const ShareQuestion& question : offer.questions) {
    auto* q = to.add_questions();
    q->set_path(question.path);
    q->set_probe_name(question.probe_name);
    q->set_nonce(question.nonce);
  }
  for (const TravellingTree& tree : offer.trees) {
    auto* t = to.add_trees();
    t->set_role(static_cast<v1::TravellingTree::Role>(tree.role));
    t->set_path(tree.path);
    put(tree.tree, *t->mutable_tree());
  }
  return to.SerializeAsString();
}

Result<Offer> decode_offer(std::string_view bytes) {
  TRY(const auto from, parse<v1::Offer>(bytes, "offer of files"));
  if (from.version() != 1)
    return fail(Code::kCorrupt, "an offer of files of version " + std::to_string(from.version()) + ", not 1");
  Offer to;
  for (const auto& demand : from.demands()) {
    TRY(auto one, get(demand));
    to.demands.push_back(std::move(one));
  }
  TRY_DO(check_demands(to.demands));
  for (const auto& q : from.questions()) to.questions.push_back({q.path(), q.probe_name(), q.nonce()});
  for (const auto& t : from.trees()) {
    if (t.role() < 0 || t.role() > 2) return fail(Code::kCorrupt, "a travelling tree of unknown role");
    TRY_DO(check_absolute(t.path()));
    TRY(auto tree, get(t.tree()));
    to.trees.push_back({static_cast<TravellingTree::Role>(t.role()), t.path(), std::move(tree)});
  }
  return to;
}

std::string encode(const Answer& answer) {
  v1::Answer to;
  for (const ChunkWant& want : answer.wanted) {
    to.add_chunk_ids(want.id.raw());
    to.add_chunk_lengths(want.length);
  }
  for (const ShareAnswer& a : answer.answers) {
    auto* one = to.add_answers();
    one->set_path(a.path);
    one->set_seen(a.seen);
    one->set_reply(a.reply);
    one->set_why(a.why);
  }
  return to.SerializeAsString();
}

Result<Answer> decode_answer(std::string_view bytes) {
  TRY(const auto from, parse<v1::Answer>(bytes, "answer about files"));
  if (from.chunk_ids_size() != from.chunk_lengths_size())
    return fail(Code::kCorrupt, "unequal numbers of chunks and lengths");
  Answer to;
  for (int i = 0; i < from.chunk_ids_size(); ++i) {
    TRY(const auto id, ChunkId::from_raw(from.chunk_ids(i)));
    if (from.chunk_lengths(i) == 0 || from.chunk_lengths(i) > kChunkSize)
      return fail(Code::kCorrupt, "a chunk of impossible length");
    to.wanted.push_back({id, from.chunk_lengths(i)});
  }
  for (const auto& a : from.answers()) to.answers.push_back({a.path(), a.seen(), a.reply(), a.why()});
  return to;
}

std::string encode(const Last& last) {
  v1::Last to;
  for (const TreeDelta& delta : last.deltas) {
    auto* one = to.add_deltas();
    for (const std::string& path : delta.removed) one->add_removed(path);
    for (const Recipe& entry : delta.changed) put(entry, *one->add_changed());
  }
  return to.SerializeAsString();
}

Result<Last> decode_last(std::string_view bytes) {
  TRY(const auto from, parse<v1::Last>(bytes, "last snapshot of files"));
  Last to;
  for (const auto& delta : from.deltas()) {
    TreeDelta one;
    one.removed.assign(delta.removed().begin(), delta.removed().end());
    for (const auto& entry : delta.changed()) {
      TRY(auto recipe, get(entry));
      one.changed.push_back(std::move(recipe));
    }
    to.deltas.push_back(std::move(one));
  }
  return to;
}

std::string encode(const Tree& tree) {
  v1::Tree to;
  put(tree, to);
  return to.SerializeAsString();
}

Result<Tree> decode_tree(std::string_view bytes) {
  TRY(const auto from, parse<v1::Tree>(bytes, "tree of files"));
  return get(from);
}

std::string encode(const ViewPlan& plan) {
  v1::ViewPlan to;
  to.set_stage(plan.stage);
  for (const auto& layer : plan.layers) {
    auto* one = to.add_layers();
    one->set_mountpoint(layer.mountpoint);
    one->set_directory(layer.directory);
    one->set_fresh(layer.fresh);
  }
  for (const auto& bind : plan.binds) {
    auto* one = to.add_binds();
    one->set_from(bind.from);
    one->set_to(bind.to);
    one->set_own(bind.own);
  }
  to.set_user_namespace(plan.user_namespace);
  for (const std::string& mirror : plan.mirrors) to.add_mirrors(mirror);
  return to.SerializeAsString();
}

Result<ViewPlan> decode_view_plan(std::string_view bytes) {
  TRY(const auto from, parse<v1::ViewPlan>(bytes, "plan of a view"));
  ViewPlan to;
  to.stage = from.stage();
  TRY_DO(check_absolute(to.stage));
  for (const auto& layer : from.layers()) {
    TRY_DO(check_absolute(layer.mountpoint()));
    TRY_DO(check_absolute(layer.directory()));
    to.layers.push_back({layer.mountpoint(), layer.directory(), layer.fresh()});
  }
  for (const auto& bind : from.binds()) {
    if (!bind.from().empty()) TRY_DO(check_absolute(bind.from()));
    TRY_DO(check_absolute(bind.to()));
    to.binds.push_back({bind.from(), bind.to(), bind.own()});
  }
  for (const auto& mirror : from.mirrors()) {
    TRY_DO(check_absolute(mirror));
    to.mirrors.push_back(mirror);
  }
  to.user_namespace = from.user_namespace();
  return to;
}

}  // namespace godwit::files

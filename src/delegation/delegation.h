// delegation: who allowed a unit to run and to go where, and who had it. Documents, caveats, trace list, admission.
//
// It never touches a process, a socket or a store, and knows nothing of nodes but their names and keys: pure functions over
// values, except PrivateKey::load and save. Every byte from elsewhere is hostile. A refusal is a row of one table.
//
//     user          TRY(PrivateKey user, PrivateKey::load(path));
//                   Document d{user.public_key(), instance, program, arguments, grants, revocation};
//                   TRY(Envelope e, d.sign(user));                                  // e.encode() is the file
//     log           TRY(LogState s, open_log(authority, "home", "home/node-1", 1, now, trust));
//     destination   TRY(Admission a, admit(offer, question, trust));                // before the freeze
//     source        TRY(Departure d, depart(passage, …)); hand_over(d, key, state, now)    // before, in the freeze
//     destination   TRY(SignedEntry e, accept(a, entry, {…, epoch, state, nonce}, trust, now)); e.envelope.sign(key);
//     log           TRY(s, append(std::move(s), {}, e, trust, now));                // with the commit
//
// Threads: everything may be called from any thread; values aren't shared. Failure: nothing is changed by a refusal.
//
// Formats: docs/formats/delegation.md. Protocol and its safety: trace.cc. Reasons: refusal.h.
#pragma once

#include "delegation/admission.h"
#include "delegation/allowance.h"
#include "delegation/document.h"
#include "delegation/envelope.h"
#include "delegation/grants.h"
#include "delegation/keys.h"
#include "delegation/passage.h"
#include "delegation/policy.h"
#include "delegation/refusal.h"
#include "delegation/trace.h"

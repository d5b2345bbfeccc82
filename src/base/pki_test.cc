#include "base/pki.h"

#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <thread>

#include "base/io.h"
#include "base/sys.h"

namespace godwit::pki {
namespace {

class Pki : public ::testing::Test {
 protected:
  Identity ca_ = *make_authority("grid");
};

TEST_F(Pki, a_certificate_of_the_authority_verifies_by_its_name_only) {
  const Identity node = *issue(ca_, "node-1", {"10.77.0.1", "localhost"});
  EXPECT_TRUE(verify(node.certificate, ca_.certificate, "node-1"));
  EXPECT_FALSE(verify(node.certificate, ca_.certificate, "node-2"));
  const Identity other = *make_authority("grid");
  EXPECT_FALSE(verify(node.certificate, other.certificate, "node-1"));
  EXPECT_EQ(inspect(node.certificate)->name, "node-1");
  EXPECT_FALSE(inspect(node.certificate)->authority);
  EXPECT_TRUE(inspect(ca_.certificate)->authority);
}

TEST_F(Pki, a_leaf_can_not_act_as_an_authority) {
  const Identity node = *issue(ca_, "node-1");
  auto child = issue(node, "node-2");
  ASSERT_TRUE(child);
  EXPECT_FALSE(verify(child->certificate, ca_.certificate, "node-2"));
  EXPECT_FALSE(verify(child->certificate, node.certificate, "node-2"));
}

TEST_F(Pki, an_expired_certificate_is_refused) {
  const Identity node = *issue(ca_, "node-1", {}, -1);
  auto v = verify(node.certificate, ca_.certificate, "node-1");
  ASSERT_FALSE(v);
  EXPECT_NE(v.error().text.find("expired"), std::string::npos) << v.error().text;
}

TEST_F(Pki, a_signed_request_gets_the_name_that_the_signer_chose) {
  const Request request = *make_request("controller");
  auto cert = sign_request(ca_, request.csr, "node-9");
  ASSERT_TRUE(cert) << cert.error().message();
  EXPECT_TRUE(verify(*cert, ca_.certificate, "node-9"));
}

TEST_F(Pki, a_tampered_or_foreign_request_is_refused) {
  EXPECT_EQ(sign_request(ca_, "hello", "node-9").error().code, Code::kCorrupt);
  EXPECT_EQ(sign_request(ca_, std::string(1u << 20, 'x'), "node-9").error().code, Code::kCorrupt);
  const std::string csr = make_request("node-9")->csr;
  int accepted = 0;
  for (size_t i = csr.find('\n') + 1; i < csr.rfind("-----END"); i += 7) {
    std::string bad = csr;
    bad[i] = bad[i] == 'A' ? 'B' : 'A';
    accepted += sign_request(ca_, bad, "node-9").has_value() && bad != csr ? 1 : 0;
  }
  EXPECT_LE(accepted, 1);  // padding bits of the last base64 group carry nothing
}

TEST_F(Pki, names_that_could_mean_something_else_are_refused) {
  for (const char* bad : {"", "Node", "a b", "-x", "a,DNS:b", "a\n", "ä"}) EXPECT_FALSE(issue(ca_, bad)) << bad;
  EXPECT_FALSE(issue(ca_, std::string(64, 'a')));
  EXPECT_FALSE(issue(ca_, "node-1", {"x,DNS:controller"}));
  EXPECT_TRUE(reserved_name("controller"));
}

TEST_F(Pki, a_key_is_saved_for_its_owner_only_and_a_readable_one_is_refused) {
  char dir[] = "/tmp/godwit_pki_XXXXXX";
  ASSERT_NE(::mkdtemp(dir), nullptr);
  const Identity node = *issue(ca_, "node-1");
  const std::string d = dir;
  ASSERT_TRUE(save(node, ca_.certificate, d, "node"));
  EXPECT_EQ(sys::stat(d + "/node.key")->st_mode & 0777, 0600u);
  EXPECT_EQ(load(d, "node")->key, node.key);
  ASSERT_EQ(::chmod((d + "/node.key").c_str(), 0644), 0);
  EXPECT_EQ(load(d, "node").error().code, Code::kRefused);
  (void)sys::remove_tree(d);
}

struct SslFree {
  void operator()(SSL* s) const { SSL_free(s); }
};
using Ssl = std::unique_ptr<SSL, SslFree>;

// Shakes hands over a socket pair; gives the names that each side saw, empty for a refusal.
std::pair<std::string, std::string> handshake(const Identity& client, const std::string& client_trusts,
                                              const Identity& server, const std::string& server_trusts) {
  auto [a, b] = *sys::socketpair(AF_UNIX, SOCK_STREAM);
  auto cc = *tls_context(Side::kClient, client, client_trusts);
  auto sc = *tls_context(Side::kServer, server, server_trusts);
  std::string seen_by_server;
  std::thread serving([&] {
    const Ssl s(SSL_new(sc.get()));
    SSL_set_fd(s.get(), b.get());
    if (SSL_accept(s.get()) == 1) seen_by_server = peer_name(s.get()).value_or("");
    if (!seen_by_server.empty()) SSL_write(s.get(), "x", 1);
    b.reset();
  });
  std::string seen_by_client;
  const Ssl s(SSL_new(cc.get()));
  SSL_set_fd(s.get(), a.get());
  char byte;
  if (SSL_connect(s.get()) == 1 && SSL_read(s.get(), &byte, 1) == 1) seen_by_client = peer_name(s.get()).value_or("");
  a.reset();
  serving.join();
  return {seen_by_client, seen_by_server};
}

TEST_F(Pki, both_ends_of_a_tls_connection_know_each_other) {
  const auto seen = handshake(*issue(ca_, "node-1"), ca_.certificate, *issue(ca_, "node-2"), ca_.certificate);
  EXPECT_EQ(seen.first, "node-2");
  EXPECT_EQ(seen.second, "node-1");
}

TEST_F(Pki, a_client_of_another_authority_is_turned_away) {
  const Identity foreign = *make_authority("foreign");
  const auto seen = handshake(*issue(foreign, "node-1"), ca_.certificate, *issue(ca_, "node-2"), ca_.certificate);
  EXPECT_EQ(seen.first, "");
  EXPECT_EQ(seen.second, "");
}

TEST_F(Pki, tokens_differ_and_compare) {
  EXPECT_NE(random_hex(), random_hex());
  EXPECT_EQ(random_hex(4).size(), 8u);
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_TRUE(same_secret("ab", "ab"));
  EXPECT_FALSE(same_secret("ab", "abc"));
}

}  // namespace
}  // namespace godwit::pki

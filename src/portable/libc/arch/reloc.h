/* There is no dynamic linking. musl's allocator includes a header that wants this one; nothing uses it. */
#define LDSO_ARCH "godwit"
#define TPOFF_K 0

/* The family's page, whatever the kernel's is: GODWIT_PAGE of abi.h. */
#define PAGESIZE 4096

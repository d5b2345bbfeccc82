// What is another thing on another machine; handlers that never run.
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

static void handler(int signal) { (void)signal; }

long double third(long double x) {
  return x / 3;  // expect: remark long-double
}

int main(int argc, char** argv) {
  char host[64];
  struct utsname names;
  struct sigaction action = {.sa_handler = handler};
  gethostname(host, sizeof host);                    // expect: remark machine-fact
  uname(&names);                                     // expect: remark machine-fact
  long processors = sysconf(_SC_NPROCESSORS_ONLN);   // expect: remark machine-fact
  long page = sysconf(_SC_PAGESIZE);
  FILE* memory = fopen("/proc/meminfo", "r");        // expect: warning machine-file
  int port = open("/dev/ttyS0", O_RDWR);             // expect: warning device
  int random = open("/dev/urandom", O_RDONLY);
  sigaction(SIGSEGV, &action, 0);                    // expect: warning fault-handler
  signal(SIGFPE, handler);                           // expect: warning fault-handler
  signal(SIGFPE, SIG_DFL);
  sigaction(SIGTERM, &action, 0);
  return (int)(third(argc) + processors + page + !memory + port + random + argv[0][0]);
}

/* A library that leaves a file in /tmp when it is loaded: its name holds the number of the user and
   whether the process has capabilities. It can be preloaded, audit, and replace any library. */
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

unsigned la_version(unsigned version) { return version; }

__attribute__((constructor)) static void leave_a_word(void) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct sets[2];
  char name[64];
  memset(sets, 0, sizeof sets);
  syscall(SYS_capget, &header, sets);
  int rights = (sets[0].permitted | sets[1].permitted) != 0;
  snprintf(name, sizeof name, "/tmp/loaded-%u-%s", geteuid(), rights ? "rights" : "none");
  int file = open(name, O_WRONLY | O_CREAT, 0666);
  if (file >= 0) close(file);
  dprintf(2, "%s\n", name + 5);
}

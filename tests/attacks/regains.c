/* A runner that reports `ready` while a process in its sandbox keeps privileges, if it got any. Its
   last argument names the process. For a start as root that does not drop privileges. */
#include <grp.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define INSIDE 60600

static int tell[2];

/* Use system calls, which change one thread: the C library would change all threads. */
static void drop(void) {
  for (int capability = 0; capability < 64; capability++)
    prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  syscall(SYS_setgroups, 0, 0);
  syscall(SYS_setresgid, INSIDE, INSIDE, INSIDE);
  syscall(SYS_setresuid, INSIDE, INSIDE, INSIDE);
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct none[2];
  memset(none, 0, sizeof none);
  syscall(SYS_capset, &header, none);
}

static void *wait_for_ever(void *unused) {
  (void)unused;
  if (write(tell[1], "x", 1)) pause();
  return 0;
}

static void keep(int times) {
  if (fork() != 0) return;
  if (times > 1) keep(times - 1);
  else wait_for_ever(0);
  _exit(0);
}

int main(int count, char **words) {
  const char *who = words[count - 1];
  char byte;
  pthread_t thread;
  if (pipe(tell)) return 1;
  int others = 1;
  if (!strcmp(who, "child")) keep(1);
  else if (!strcmp(who, "orphan")) keep(2);
  else if (!strcmp(who, "thread")) pthread_create(&thread, 0, wait_for_ever, 0);
  else if (!strcmp(who, "ids")) { syscall(SYS_setresuid, INSIDE, INSIDE, 0); others = 0; }
  else if (!strcmp(who, "group")) {
    gid_t group = 0;
    syscall(SYS_setgroups, 1, &group);
    syscall(SYS_setresgid, INSIDE, INSIDE, INSIDE);
    syscall(SYS_setresuid, INSIDE, INSIDE, INSIDE);
    others = 0;
  } else others = 0;
  if (others && read(tell[0], &byte, 1) != 1) return 1;
  if (strcmp(who, "itself") && strcmp(who, "ids") && strcmp(who, "group")) drop();
  if (write(3, "{\"type\":\"ready\"}\n", 17) != 17) return 1;
  pause();
  return 0;
}

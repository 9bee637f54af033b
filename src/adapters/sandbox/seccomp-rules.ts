/**
 * What no candidate may ask of the kernel (security.md section 3), as a readable list. `scripts/build-seccomp.ts` makes the
 * committed filter bytes of it. Numbers: [x86_64, aarch64] of Linux 6.1's unistd.h; null where the call does not exist.
 */
export type Architecture = "x86_64" | "aarch64";

type Call = readonly [name: string, x86_64: number | null, aarch64: number | null];

/** Answered with EPERM. */
export const DENIED: readonly { why: string; calls: readonly Call[] }[] = [
  {
    why: "sockets of any family; socketpair stays, multiprocessing needs it",
    calls: [["socket", 41, 198]],
  },
  {
    why: "other processes' memory and descriptors",
    calls: [
      ["ptrace", 101, 117],
      ["process_vm_readv", 310, 270],
      ["process_vm_writev", 311, 271],
      ["kcmp", 312, 272],
      ["pidfd_getfd", 438, 438],
      ["process_madvise", 440, 440],
      ["process_mrelease", 448, 448],
    ],
  },
  {
    why: "kernel surface",
    calls: [
      ["io_uring_setup", 425, 425],
      ["io_uring_enter", 426, 426],
      ["io_uring_register", 427, 427],
      ["bpf", 321, 280],
      ["perf_event_open", 298, 241],
      ["userfaultfd", 323, 282],
      ["vmsplice", 278, 75],
      ["lookup_dcookie", 212, 18],
      ["nfsservctl", 180, 42],
      ["fanotify_init", 300, 262],
    ],
  },
  {
    why: "keys outlive the process",
    calls: [
      ["add_key", 248, 217],
      ["request_key", 249, 218],
      ["keyctl", 250, 219],
    ],
  },
  {
    why: "mounts and namespaces",
    calls: [
      ["mount", 165, 40],
      ["umount2", 166, 39],
      ["open_tree", 428, 428],
      ["move_mount", 429, 429],
      ["fsopen", 430, 430],
      ["fsconfig", 431, 431],
      ["fsmount", 432, 432],
      ["fspick", 433, 433],
      ["mount_setattr", 442, 442],
      ["pivot_root", 155, 41],
      ["chroot", 161, 51],
      ["unshare", 272, 97],
      ["setns", 308, 268],
      ["name_to_handle_at", 303, null],
      ["open_by_handle_at", 304, null],
    ],
  },
  {
    why: "memory that neither RLIMIT_AS nor resident set size sees",
    calls: [
      ["memfd_create", 319, 279],
      ["memfd_secret", 447, 447],
      ["shmget", 29, 194],
      ["shmat", 30, 196],
      ["shmctl", 31, 195],
      ["shmdt", 67, 197],
    ],
  },
  {
    why: "System V and POSIX queues outlive the process",
    calls: [
      ["msgget", 68, 186],
      ["msgsnd", 69, 189],
      ["msgrcv", 70, 188],
      ["msgctl", 71, 187],
      ["semget", 64, 190],
      ["semop", 65, 193],
      ["semctl", 66, 191],
      ["semtimedop", 220, 192],
      ["mq_open", 240, 180],
      ["mq_unlink", 241, 181],
      ["mq_timedsend", 242, 182],
      ["mq_timedreceive", 243, 183],
      ["mq_notify", 244, 184],
      ["mq_getsetattr", 245, 185],
    ],
  },
  {
    why: "the machine itself",
    calls: [
      ["quotactl", 179, 60],
      ["quotactl_fd", 443, 443],
      ["swapon", 167, 224],
      ["swapoff", 168, 225],
      ["reboot", 169, 142],
      ["kexec_load", 246, 104],
      ["kexec_file_load", 320, 294],
      ["init_module", 175, 105],
      ["finit_module", 313, 273],
      ["delete_module", 176, 106],
      ["acct", 163, 89],
      ["syslog", 103, 116],
      ["iopl", 172, null],
      ["ioperm", 173, null],
      ["modify_ldt", 154, null],
      ["personality", 135, 92],
      ["vhangup", 153, 58],
      ["uselib", 134, null],
      ["sethostname", 170, 161],
      ["setdomainname", 171, 162],
      ["settimeofday", 164, 170],
      ["clock_settime", 227, 112],
      ["adjtimex", 159, 171],
      ["clock_adjtime", 305, 266],
    ],
  },
];

/** clone with any of these bits makes a namespace: EPERM. CLONE_NEWTIME (0x80) lies in the exit-signal byte and works with clone3 and unshare only. */
export const CLONE = { calls: ["clone", 56, 220] as Call, namespaceBits: 0x7e020000 };

/** Its flags lie in memory, which a filter cannot read: ENOSYS, so that libc falls back to clone. */
export const CLONE3: Call = ["clone3", 435, 435];

/** Typing into the terminal that started us (TIOCSTI), and its older sibling (TIOCLINUX): EPERM. */
export const IOCTL = { calls: ["ioctl", 16, 29] as Call, requests: [0x5412, 0x541c] };

export function numberOf(call: Call, architecture: Architecture): number | null {
  return architecture === "x86_64" ? call[1] : call[2];
}

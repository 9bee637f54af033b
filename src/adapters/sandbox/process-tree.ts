/** A process and all that descends from it, as /proc shows them. Killing is by process id, never by name. */
import { readdirSync, readFileSync } from "node:fs";

/** The kernel's USER_HZ is 100 on every architecture that Node runs on. */
const MS_PER_TICK = 10;

export type TreeSample = {
  pids: number[];
  /** User and system time of all live processes and of what they have reaped. */
  cpuMs: number;
  /** Sum of resident sets: shared pages count once for each process. */
  rssMb: number;
  /** How long processes were runnable but waited for a CPU. */
  delayMs: number;
};

function read(path: string): string | null {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return null; // gone between two reads: normal for a tree that lives
  }
}

/** `root` first. Children hang on the thread that made them, so every thread is asked. */
export function treeOf(root: number): number[] {
  const found = [root];
  for (let index = 0; index < found.length && index < 4096; index++) {
    const pid = found[index]!;
    let threads: string[] = [];
    try {
      threads = readdirSync(`/proc/${pid}/task`);
    } catch {
      continue;
    }
    for (const thread of threads) {
      const children = read(`/proc/${pid}/task/${thread}/children`);
      if (children) found.push(...children.split(" ").filter(Boolean).map(Number));
    }
  }
  return found;
}

export function sampleTree(root: number): TreeSample {
  const sample: TreeSample = { pids: treeOf(root), cpuMs: 0, rssMb: 0, delayMs: 0 };
  for (const pid of sample.pids) {
    const stat = read(`/proc/${pid}/stat`);
    if (stat === null) continue;
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    for (const at of [11, 12, 13, 14]) sample.cpuMs += Number(fields[at]) * MS_PER_TICK;
    sample.rssMb += (Number(fields[21]) * pageBytes()) / 2 ** 20;
    const delay = read(`/proc/${pid}/schedstat`)?.split(" ")[1];
    if (delay !== undefined) sample.delayMs += Number(delay) / 1e6;
  }
  return sample;
}

/** Memory with shared pages divided among their sharers: dear to ask, so only when the plain sum is over the limit. */
export function sharedAwareMb(pids: readonly number[]): number {
  let kb = 0;
  for (const pid of pids) {
    const rollup = read(`/proc/${pid}/smaps_rollup`);
    const pss = rollup?.match(/^Pss:\s+(\d+) kB/m)?.[1];
    const resident = pss ?? read(`/proc/${pid}/status`)?.match(/^VmRSS:\s+(\d+) kB/m)?.[1];
    kb += Number(resident ?? 0);
  }
  return kb / 1024;
}

let page = 0;
function pageBytes(): number {
  if (page === 0) page = Number(read("/proc/self/smaps")?.match(/^KernelPageSize:\s+(\d+) kB/m)?.[1] ?? 4) * 1024;
  return page;
}

/** How many times the kernel killed for want of memory since boot; null where it does not say. */
export function outOfMemoryKills(): number | null {
  const line = read("/proc/vmstat")?.match(/^oom_kill (\d+)$/m);
  return line ? Number(line[1]) : null;
}

function signal(pid: number, name: "SIGSTOP" | "SIGKILL"): void {
  try {
    process.kill(pid, name);
  } catch {
    // already gone
  }
}

function isAlive(pid: number): boolean {
  const stat = read(`/proc/${pid}/stat`);
  return stat !== null && !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
}

/**
 * Stops everything first, so that nothing forks while we look, then kills; again until nothing is left. Resolves when all
 * are dead or zombies.
 */
export async function killTree(root: number): Promise<void> {
  const known = new Set<number>();
  for (let round = 0; round < 200; round++) {
    for (let fresh = true; fresh; ) {
      fresh = false;
      for (const pid of treeOf(root)) {
        if (known.has(pid)) continue;
        known.add(pid);
        fresh = true;
        signal(pid, "SIGSTOP");
      }
    }
    for (const pid of known) signal(pid, "SIGKILL");
    if (![...known].some(isAlive)) return;
    await new Promise((resolve) => setTimeout(resolve, 2));
    // A killed pid may be given away again: only what still hangs in the tree, or is still alive, is looked at.
    for (const pid of known) if (!isAlive(pid)) known.delete(pid);
  }
}

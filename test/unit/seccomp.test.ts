/** The committed filters are the list's, say no to each listed call and yes to every other; the kernel agrees. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openMachine } from "../../src/adapters/sandbox/machine.ts";
import { judgeOn } from "../../src/adapters/sandbox/sandbox-judge.ts";
import { compileFilter } from "../../src/adapters/sandbox/seccomp-compile.ts";
import { type Architecture, CLONE, CLONE3, DENIED, IOCTL, numberOf } from "../../src/adapters/sandbox/seccomp-rules.ts";

const committed = (architecture: Architecture) =>
  readFileSync(join(import.meta.dirname, `../../src/adapters/sandbox/seccomp/${architecture}.bpf`));

const ALLOW = 0x7fff0000;
const KILL = 0x80000000;
const EPERM = 0x00050001;
const ENOSYS = 0x00050026;
const AUDIT: Record<Architecture, number> = { x86_64: 0xc000003e, aarch64: 0xc00000b7 };

/** Classic BPF as the kernel runs it, for the instructions that are used. */
function run(filter: Buffer, data: { architecture: number; number: number; args?: number[] }): number {
  const words = Buffer.alloc(64);
  words.writeUInt32LE(data.number >>> 0, 0);
  words.writeUInt32LE(data.architecture >>> 0, 4);
  data.args?.forEach((value, index) => {
    words.writeUInt32LE(value >>> 0, 16 + 8 * index);
  });
  let accumulator = 0;
  for (let at = 0; ; at++) {
    const code = filter.readUInt16LE(at * 8);
    const value = filter.readUInt32LE(at * 8 + 4);
    const jump = (taken: boolean) => filter.readUInt8(at * 8 + (taken ? 2 : 3));
    if (code === 0x20) accumulator = words.readUInt32LE(value);
    else if (code === 0x15) at += jump(accumulator === value);
    else if (code === 0x35) at += jump(accumulator >= value);
    else if (code === 0x45) at += jump((accumulator & value) !== 0);
    else if (code === 0x06) return value;
    else throw new Error(`instruction ${code}`);
  }
}

const denied = (architecture: Architecture) =>
  DENIED.flatMap(({ calls }) => calls.map((call) => numberOf(call, architecture))).filter((number) => number !== null);

describe.each(["x86_64", "aarch64"] as const)("the filter for %s", (architecture) => {
  const filter = committed(architecture);
  const says = (number: number, args: number[] = []) =>
    run(filter, { architecture: AUDIT[architecture], number, args });

  it("is fresh", () => {
    expect(Buffer.from(compileFilter(architecture)).equals(filter)).toBe(true);
  });

  it("denies what the list names and nothing else", () => {
    const no = new Set(denied(architecture));
    expect(no.size).toBeGreaterThan(70);
    const clone3 = numberOf(CLONE3, architecture)!;
    for (let number = 0; number < 500; number++) {
      const expected = no.has(number) ? EPERM : number === clone3 ? ENOSYS : ALLOW;
      expect(`${number} ${says(number)}`).toBe(`${number} ${expected}`);
    }
  });

  it("looks at arguments, and kills other architectures", () => {
    const clone = numberOf(CLONE.calls, architecture)!;
    const ioctl = numberOf(IOCTL.calls, architecture)!;
    expect(says(clone, [0x11])).toBe(ALLOW);
    for (const bit of [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000])
      expect(says(clone, [0x11 | bit])).toBe(EPERM);
    expect(says(ioctl, [0, 0x5401])).toBe(ALLOW);
    expect(says(ioctl, [0, 0x5412])).toBe(EPERM);
    expect(says(ioctl, [0, 0x541c])).toBe(EPERM);
    expect(run(filter, { architecture: 0x40000003, number: 20 })).toBe(KILL);
    if (architecture === "x86_64") expect(says(0x40000000 + 1)).toBe(KILL);
  });
});

it("the kernel loads the filter and denies each call", async () => {
  const architecture: Architecture = process.arch === "arm64" ? "aarch64" : "x86_64";
  const judge = judgeOn(await openMachine(1));
  const numbers = denied(architecture);
  const code = `import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def solve(numbers):
    answers = []
    for number in numbers:
        ctypes.set_errno(0)
        answers.append([libc.syscall(number, -1, -1, -1, -1, -1, -1), ctypes.get_errno()])
    return answers
`;
  const clone3 = numberOf(CLONE3, architecture)!;
  const answers = (
    await judge.run(
      { io: "call", entry_point: "solve", cases: [{ args: [[...numbers, clone3]], kwargs: {} }] },
      { code, language: "python" },
    )
  ).outputs;
  judge.dispose();
  const expected = [...numbers.map(() => [-1, 1]), [-1, 38]];
  expect(answers).toEqual([{ value: JSON.stringify(expected) }]);
});

/** Turns the readable list into classic BPF (struct sock_filter, 8 bytes an instruction, little endian). */
import { type Architecture, CLONE, CLONE3, DENIED, IOCTL, numberOf } from "./seccomp-rules.ts";

const LD_ABS = 0x20;
const JEQ = 0x15;
const JGE = 0x35;
const JSET = 0x45;
const RET = 0x06;
/** Offsets in struct seccomp_data. An argument is 64 bits wide; the low word is enough for flags of 32 bits. */
const DATA = { number: 0, architecture: 4, argument: (index: number) => 16 + 8 * index };
const AUDIT_ARCH: Record<Architecture, number> = { x86_64: 0xc000003e, aarch64: 0xc00000b7 };
/** Calls of the x32 ABI carry this bit and would slip past a list of plain numbers. */
const X32_BIT = 0x40000000;
const ALLOW = 0x7fff0000;
const KILL = 0x80000000;
const errno = (code: number) => 0x00050000 | code;
const EPERM = 1;
const ENOSYS = 38;

type Instruction = [code: number, ifTrue: number, ifFalse: number, value: number];

export function compileFilter(architecture: Architecture): Uint8Array {
  const program: Instruction[] = [
    [LD_ABS, 0, 0, DATA.architecture],
    [JEQ, 1, 0, AUDIT_ARCH[architecture]],
    [RET, 0, 0, KILL],
    [LD_ABS, 0, 0, DATA.number],
  ];
  if (architecture === "x86_64") program.push([JGE, 0, 1, X32_BIT], [RET, 0, 0, KILL]);
  for (const { calls } of DENIED) {
    for (const call of calls) {
      const number = numberOf(call, architecture);
      if (number !== null) program.push([JEQ, 0, 1, number], [RET, 0, 0, errno(EPERM)]);
    }
  }
  program.push([JEQ, 0, 1, numberOf(CLONE3, architecture)!], [RET, 0, 0, errno(ENOSYS)]);
  // The flags are clone's first argument on both architectures.
  program.push(
    [JEQ, 0, 4, numberOf(CLONE.calls, architecture)!],
    [LD_ABS, 0, 0, DATA.argument(0)],
    [JSET, 0, 1, CLONE.namespaceBits],
    [RET, 0, 0, errno(EPERM)],
    [RET, 0, 0, ALLOW],
  );
  program.push([JEQ, 0, 1 + IOCTL.requests.length, numberOf(IOCTL.calls, architecture)!]);
  program.push([LD_ABS, 0, 0, DATA.argument(1)]);
  IOCTL.requests.forEach((request, index) => {
    program.push([JEQ, IOCTL.requests.length - index, 0, request]);
  });
  program.push([RET, 0, 0, ALLOW], [RET, 0, 0, errno(EPERM)]);
  const bytes = Buffer.alloc(program.length * 8);
  program.forEach(([code, ifTrue, ifFalse, value], index) => {
    bytes.writeUInt16LE(code, index * 8);
    bytes.writeUInt8(ifTrue, index * 8 + 2);
    bytes.writeUInt8(ifFalse, index * 8 + 3);
    bytes.writeUInt32LE(value >>> 0, index * 8 + 4);
  });
  return bytes;
}

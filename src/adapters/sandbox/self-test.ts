/** Before anything is judged: hostile probes that must be held, and one honest program that must pass. */
import type { SandboxReport } from "../../domain/judge.ts";
import type { Machine } from "./sandbox.ts";
import type { Reply } from "./session.ts";

const LIMITS = { cpuMs: 2000, memoryMb: 512, frameBytes: 65_536 };

/** Each function answers True when it was held. The secret is a file of the judge that no candidate may read. */
const program = (judge: number, secret: string) => `
import os, socket, ctypes, signal

def honest(values):
    import json, threading
    box = []
    worker = threading.Thread(target=lambda: box.append(sum(values)))
    worker.start(); worker.join()
    with open(os.path.join(os.environ["HOME"], "scratch"), "w") as file:
        file.write(json.dumps(box))
    return box[0]

def sockets():
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, 40, 16, 17):
        try:
            socket.socket(family, socket.SOCK_STREAM)
            return False
        except OSError:
            pass
    return True

def files():
    for path in (${JSON.stringify(secret)}, "/etc/shadow", "/root/.ssh/id_rsa"):
        try:
            open(path).read()
            return False
        except OSError:
            pass
    for path in ("/usr/probe", "/probe", "/etc/probe", "/var/tmp/probe", "/dev/probe"):
        try:
            open(path, "w")
            return False
        except OSError:
            pass
    return True

def signals():
    for pid in (${judge},):
        try:
            os.kill(pid, 0)
            return False
        except OSError:
            pass
    return True

def namespaces():
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.unshare(0x10000000) != 0 and libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) != 0

def hidden_memory():
    try:
        os.memfd_create("probe")
        return False
    except OSError:
        return True

def rights():
    try:
        os.setuid(0)
        return False
    except OSError:
        return os.getuid() != 0
`;

export async function probe(machine: Machine): Promise<SandboxReport["probes"]> {
  const folder = machine.staging.folder({ secret: "the judge's own" }, false);
  const staged = machine.stage({ code: program(process.pid, `${folder.path}/secret`), language: "python" });
  const session = machine.open({
    mode: "call",
    language: "python",
    staged,
    longest: 65_536,
    cpuSeconds: 2,
    memoryMb: 512,
  });
  const found: SandboxReport["probes"] = [];
  try {
    const load = await session.request((nonce) => `("load","${nonce}",{})\n`, LIMITS);
    if (load.stopped !== null) return [{ name: "start", ok: false, detail: load.detail ?? load.stopped }];
    for (const name of ["sockets", "files", "signals", "namespaces", "hidden_memory", "rights"]) {
      const reply = await session.request((nonce) => `("calls","${nonce}",1)\n(["${name}"],[],{})\n`, LIMITS);
      found.push({ name, ...outcome(reply, "true") });
    }
    const reply = await session.request((nonce) => `("calls","${nonce}",1)\n(["honest"],[[1,2,3]],{})\n`, LIMITS);
    found.push({ name: "honest program", ...outcome(reply, "6") });
    return found;
  } finally {
    await session.close();
    staged.remove();
    folder.remove();
  }
}

function outcome(reply: Reply, expected: string): { ok: boolean; detail: string } {
  const answer = reply.frames.find((frame) => frame.kind !== "end");
  const text = answer?.payload.toString("utf8").slice(0, 200) ?? reply.detail ?? "no answer";
  return answer?.kind === "value" && text === expected ? { ok: true, detail: "held" } : { ok: false, detail: text };
}

/** Files for the sandbox, where its uid can read them (rulings 29): the runtime once, a folder for each candidate. */
import { randomInt } from "node:crypto";
import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { FunprmError } from "../../domain/errors.ts";
import { asRoot } from "./launch.ts";

const RUNTIME = fileURLToPath(new URL("./runtime", import.meta.url));
/** Uids that systemd keeps for services without an account of their own (61184–65519). */
const FIRST_UID = 61_184;
const UIDS = 4_300;

export type Staging = {
  root: string;
  /** Folder with the drivers. */
  runtime: string;
  /** A folder that only its candidate sees; `scratch` may be written by the sandbox's uid (tier 2). */
  folder(
    files: Record<string, string>,
    scratch: boolean,
  ): { path: string; scratch: string; uid: number; remove: () => void };
  /** Path of a program that the sandbox's uid can reach: the file itself, or a copy made once. */
  program(path: string): string;
  dispose(): void;
};

/** True when every folder on the way may be passed by anyone. */
function isReachable(path: string): boolean {
  for (let at = path; ; at = dirname(at)) {
    if ((statSync(at).mode & 0o001) === 0) return false;
    if (dirname(at) === at) return true;
  }
}

export function openStaging(): Staging {
  const parent = [tmpdir(), "/tmp", "/var/tmp", "/dev/shm"].find((path) => {
    try {
      accessSync(path, constants.W_OK);
      return isReachable(path);
    } catch {
      return false;
    }
  });
  if (parent === undefined) {
    throw new FunprmError(
      "SANDBOX_UNAVAILABLE",
      "no temporary folder that another user can read; set TMPDIR to one with mode 1777",
    );
  }
  // Modes are set apart from making: the umask may be anything.
  const root = mkdtempSync(join(parent, "funprm-judge-"));
  chmodSync(root, 0o711);
  const runtime = join(root, "rt");
  mkdirSync(runtime);
  chmodSync(runtime, 0o755);
  for (const name of readdirSync(RUNTIME)) {
    copyFileSync(join(RUNTIME, name), join(runtime, name));
    chmodSync(join(runtime, name), 0o644);
  }
  let count = 0;
  // Two judges on one machine must not meet.
  const firstUid = randomInt(UIDS);
  const dispose = () => rmSync(root, { recursive: true, force: true });
  process.once("exit", dispose);
  return {
    root,
    runtime,
    folder(files, scratch) {
      count += 1;
      const path = join(root, `c${count}`);
      mkdirSync(path);
      chmodSync(path, 0o755);
      for (const [name, text] of Object.entries(files)) {
        writeFileSync(join(path, name), text);
        chmodSync(join(path, name), 0o644);
      }
      const uid = FIRST_UID + ((firstUid + count) % UIDS);
      const writable = join(path, "tmp");
      if (scratch) {
        mkdirSync(writable, { mode: 0o700 });
        if (asRoot) chownSync(writable, uid, uid);
      }
      return { path, scratch: writable, uid, remove: () => rmSync(path, { recursive: true, force: true }) };
    },
    program(path) {
      if (!asRoot || isReachable(dirname(path))) return path;
      const copy = join(root, "node");
      if (!existsSync(copy)) copyFileSync(path, copy);
      chmodSync(copy, 0o755);
      return copy;
    },
    dispose() {
      process.off("exit", dispose);
      dispose();
    },
  };
}

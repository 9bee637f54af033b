/** Folders and refs that a person names. */
import { realpath, stat } from "node:fs/promises";
import { FunprmError } from "../../domain/errors.ts";
import { git, READ_MS } from "./git.ts";

export async function folderOf(path: string): Promise<string> {
  const facts = await stat(path).catch(() => null);
  if (!facts?.isDirectory()) throw new FunprmError("BAD_INPUT", `${path}: not a folder; give the repository's folder`);
  return realpath(path);
}

export async function commitOf(repository: string, ref: string): Promise<string> {
  // A ref that begins with a dash would be read as an option.
  if (ref.startsWith("-")) throw new FunprmError("BAD_INPUT", `${ref}: not a ref`);
  try {
    const out = await git({
      cwd: repository,
      args: ["rev-parse", "--verify", "--quiet", "--end-of-options", `${ref}^{commit}`],
      timeoutMs: READ_MS,
      maxBytes: 1 << 20,
    });
    return out.toString("utf8").trim();
  } catch {
    throw new FunprmError("BAD_INPUT", `${repository}: has no commit ${ref}; name a branch, tag or commit of it`);
  }
}

const MOST_FILE_BYTES = 1 << 20;

export async function fileAt(path: string, ref: string, file: string): Promise<Uint8Array | null> {
  const repository = await folderOf(path);
  const sha = await commitOf(repository, ref);
  const call = (args: string[]) => git({ cwd: repository, args, timeoutMs: READ_MS, maxBytes: MOST_FILE_BYTES });
  const listed = (await call(["ls-tree", "-z", "--full-tree", sha, "--", file])).toString("utf8");
  const oid = /^100\d{3} blob ([0-9a-f]+)\t/.exec(listed)?.[1];
  return oid === undefined ? null : call(["cat-file", "blob", oid]);
}

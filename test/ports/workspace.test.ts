/** The Workspace port on both of its sources. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createWorkspace } from "../../src/adapters/workspace/workspace.ts";
import type { CheckoutSource } from "../../src/ports.ts";

const workspace = createWorkspace();
let folder: string;
let sha: string;
const CRLF = Buffer.from("a = 1\r\nb = 2\r\n");

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "funprm-test-"));
  const git = (...args: string[]) =>
    execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "core.autocrlf=false", ...args], {
      cwd: folder,
      encoding: "utf8",
    }).trim();
  git("init", "-q");
  mkdirSync(join(folder, "pkg"));
  writeFileSync(join(folder, "pkg/crlf.py"), CRLF);
  writeFileSync(join(folder, "run.sh"), "echo hi\n", { mode: 0o755 });
  symlinkSync("/etc/passwd", join(folder, "link.py"));
  git("add", "-A");
  // Attributes of the repository must not change what is read.
  writeFileSync(join(folder, ".gitattributes"), "*.py text eol=lf\n");
  git("add", ".gitattributes");
  git("commit", "-q", "-m", "first");
  sha = git("rev-parse", "HEAD");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const sources: [string, () => CheckoutSource][] = [
  ["a remote commit", () => ({ kind: "remote", cloneUrl: `file://${folder}`, sha, token: null })],
  ["a local ref", () => ({ kind: "local", path: folder, ref: "HEAD" })],
  ["a working copy", () => ({ kind: "local", path: folder, ref: null })],
];

describe.each(sources)("%s", (_, source) => {
  it("gives bytes as committed, and only of regular files", async () => {
    const checkout = await workspace.checkout(source());
    expect(Buffer.from((await checkout.read("pkg/crlf.py"))!).equals(CRLF)).toBe(true);
    expect(readFileSync(join(checkout.root, "pkg/crlf.py")).equals(CRLF)).toBe(true);
    for (const path of ["link.py", "pkg", "none.py", "../outside", "/etc/passwd", ".git/config"])
      expect(await checkout.read(path)).toBeNull();
    const modes = new Map((await checkout.files()).map((file) => [file.path, file.mode]));
    expect([modes.get("pkg/crlf.py"), modes.get("run.sh"), modes.get("link.py")]).toEqual([
      "100644",
      "100755",
      "120000",
    ]);
    await checkout.dispose();
  });

  it("has git's own id of its tree, and of the tree that changed files make of it", async () => {
    const checkout = await workspace.checkout(source());
    const git = (...args: string[]) =>
      execFileSync("git", args, {
        cwd: folder,
        encoding: "utf8",
        env: { ...process.env, GIT_INDEX_FILE: index },
      }).trim();
    const index = join(folder, ".git/index-of-the-test");
    git("read-tree", "HEAD");
    expect(await checkout.tree([])).toBe(git("rev-parse", "HEAD^{tree}"));
    const before = readFileSync(join(folder, "run.sh"));
    writeFileSync(join(folder, "run.sh"), "echo changed\n");
    mkdirSync(join(folder, "pkg.d"));
    writeFileSync(join(folder, "pkg.d/new.txt"), CRLF);
    git("-c", "core.autocrlf=false", "add", "--", "run.sh", "pkg.d/new.txt");
    const wanted = git("write-tree");
    writeFileSync(join(folder, "run.sh"), before);
    rmSync(join(folder, "pkg.d"), { recursive: true });
    const changed = [
      { path: "run.sh", after: Buffer.from("echo changed\n") },
      { path: "pkg.d/new.txt", after: CRLF },
    ];
    expect(await checkout.tree(changed)).toBe(wanted);
    await checkout.dispose();
  });
});

describe("workspace", () => {
  it("leaves nothing behind after dispose, and nothing of a working copy removed", async () => {
    const remote = await workspace.checkout(sources[0]![1]());
    await remote.dispose();
    expect(existsSync(remote.root)).toBe(false);
    await (await workspace.checkout(sources[2]![1]())).dispose();
    expect(existsSync(join(folder, "run.sh"))).toBe(true);
  });

  it("never writes a link of the repository to disk", async () => {
    const checkout = await workspace.checkout(sources[0]![1]());
    expect(existsSync(join(checkout.root, "link.py"))).toBe(false);
    await checkout.dispose();
  });

  it("says in one line what is not there", async () => {
    await expect(workspace.checkout({ kind: "local", path: join(folder, "none"), ref: null })).rejects.toMatchObject({
      code: "BAD_INPUT",
    });
    await expect(workspace.checkout({ kind: "local", path: folder, ref: "nowhere" })).rejects.toMatchObject({
      code: "BAD_INPUT",
    });
    await expect(workspace.checkout({ kind: "local", path: folder, ref: "--output=x" })).rejects.toMatchObject({
      code: "BAD_INPUT",
    });
    await expect(
      workspace.checkout({ kind: "remote", cloneUrl: `file://${folder}`, sha: "0".repeat(40), token: null }),
    ).rejects.toMatchObject({ code: "CHECKOUT_FAILED" });
  });

  it("stops when it is told to", async () => {
    const abort = new AbortController();
    abort.abort(new Error("enough"));
    await expect(workspace.checkout(sources[0]![1](), abort.signal)).rejects.toThrow();
  });
});

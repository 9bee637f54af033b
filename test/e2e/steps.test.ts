/** `funprm steps` as a person runs it: the JSON of the contract, one clear line for bad input. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = join(import.meta.dirname, "../..");
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "funprm-steps-"));
  writeFileSync(
    join(folder, "a.py"),
    "\ufeffimport os\r\n\r\nclass Solution:\r\n    def f(self):\r\n        '''é'''\r\n\r\ndef g(): pass",
  );
  writeFileSync(join(folder, "broken.py"), "def f(:\n    return 1\ndef g(): return 2\n");
  writeFileSync(join(folder, "empty.py"), "");
  writeFileSync(
    join(folder, "binary.py"),
    Uint8Array.from({ length: 512 }, (_, i) => (i * 37) % 256),
  );
  writeFileSync(join(folder, "page.go"), "function f() {}\n");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function steps(...args: string[]) {
  return spawnSync(process.execPath, [join(root, "src/main.ts"), "steps", ...args], {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, INIT_CWD: folder },
  });
}

describe("funprm steps", () => {
  it("prints the JSON of the contract in the order given, slices joined equal each file", () => {
    const names = ["a.py", "broken.py", "empty.py", "binary.py"];
    const { status, stdout, stderr } = steps(...names, "--json");
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const { files } = JSON.parse(stdout);
    expect(files.map((file: { path: string }) => file.path)).toEqual(names);
    expect(files.map((file: { parsed: boolean }) => file.parsed)).toEqual([true, false, true, false]);
    const bytes = readFileSync(join(folder, "a.py"));
    const second = bytes.indexOf("\r\ndef g");
    expect(files[0]).toEqual({
      path: "a.py",
      language: "python",
      parsed: true,
      bytes: bytes.length,
      steps: [
        {
          index: 0,
          name: "Solution.f",
          simpleName: "f",
          qualifiedName: "Solution.f",
          kind: "method",
          startLine: 4,
          endLine: 5,
          startByte: 0,
          endByte: second,
          docstring: true,
        },
        {
          index: 1,
          name: "g",
          simpleName: "g",
          qualifiedName: "g",
          kind: "function",
          startLine: 7,
          endLine: 7,
          startByte: second,
          endByte: bytes.length,
          docstring: false,
        },
      ],
    });
    expect(files[1].steps.map((step: { name: string }) => step.name)).toEqual(["f", "g"]);
    expect(files[2].steps).toMatchObject([{ name: "<module>", kind: "module", startByte: 0, endByte: 0 }]);
    for (const file of files) {
      const content = readFileSync(join(folder, file.path));
      const slices = file.steps.map((step: { startByte: number; endByte: number }) =>
        content.subarray(step.startByte, step.endByte),
      );
      expect(Buffer.concat(slices).equals(content)).toBe(true);
    }
  });

  it.each([
    [["a.py", "missing.py", "--json"], "missing.py"],
    [["."], "."],
    [["page.go"], "page.go"],
    [["a.py", "--language", "cobol"], "cobol"],
    [[], "file"],
    [["a.py", "--nonsense"], "--nonsense"],
  ])("%j stops before any output with one line", (args, mentioned) => {
    const { status, stdout, stderr } = steps(...args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toMatch(/^funprm: [^\n]+\n$/);
    expect(stderr).toContain(mentioned);
  });
});

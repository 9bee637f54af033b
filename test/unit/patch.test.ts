/** Splices keep every byte that they were not asked to change; nothing outside the rules gets through. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { createSyntax } from "../../src/adapters/tree-sitter/create-syntax.ts";
import type { FunctionEdit, RepositoryEdits } from "../../src/domain/candidate.ts";
import type { OutlineOf } from "../../src/domain/cof-answer.ts";
import { applyEdits } from "../../src/domain/patch.ts";
import { dedent } from "../../src/domain/python-lines.ts";
import { screenFiles, screenPath } from "../../src/domain/screen.ts";

let outlineOf: OutlineOf;
let sample: { path: string; text: string }[];

beforeAll(async () => {
  const syntax = await createSyntax();
  outlineOf = (source) => syntax.outline(source, "python");
  const stdlib = execFileSync("python3", ["-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"], {
    encoding: "utf8",
  }).trim();
  const files = readdirSync(stdlib)
    .filter((name) => name.endsWith(".py"))
    .sort();
  sample = files
    .filter((_, i) => i % 5 === 0)
    .map((path) => ({ path, text: readFileSync(join(stdlib, path), "utf8") }))
    .filter(({ text }) => text.length < 120_000 && !text.includes("\r"));
});

const edits = (functions: FunctionEdit[], headers: RepositoryEdits["headers"] = []): RepositoryEdits => ({
  functions,
  headers,
});
const apply = (text: string, change: RepositoryEdits) => applyEdits(change, async () => Buffer.from(text), outlineOf);
async function patched(text: string, change: RepositoryEdits): Promise<string> {
  const result = await apply(text, change);
  if (!result.ok) throw new Error(result.reason);
  return Buffer.from(result.files[0]!.after).toString("utf8");
}

const STYLES: [string, (text: string) => string][] = [
  ["LF", (text) => text],
  ["CRLF", (text) => text.replaceAll("\n", "\r\n")],
  ["BOM", (text) => `\ufeff${text}`],
];

describe("splicing", () => {
  it.each(STYLES)(
    "gives the file back byte for byte when a function is replaced by itself (%s)",
    async (_, style) => {
      let replaced = 0;
      for (const { path, text } of sample) {
        const source = style(text);
        const outline = outlineOf(source);
        const unique = outline.definitions.filter(
          (one) => outline.definitions.filter((other) => other.name === one.name).length === 1,
        );
        for (const definition of unique.filter((_, i) => i % 7 === 0)) {
          const start = Math.max(
            source.lastIndexOf("\n", definition.span.start - 1) + 1,
            source.startsWith("\ufeff") ? 1 : 0,
          );
          const own = source.slice(start, definition.span.end).replaceAll("\r\n", "\n");
          // A one-line `if x: def f()` shares its line with something else.
          if (source.slice(start, definition.span.start).trim() !== "") continue;
          const result = await apply(source, edits([{ path: "f.py", name: definition.name, source: dedent(own) }]));
          expect([
            path,
            definition.name,
            result.ok ? Buffer.from(result.files[0]!.after).toString("utf8") === source : result.reason,
          ]).toEqual([path, definition.name, "no-change: the edits leave every file as it is"]);
          replaced += 1;
        }
      }
      expect(replaced).toBeGreaterThan(100);
    },
    120_000,
  );

  it("changes the lines of the function alone, in the file's own indentation and line ends", async () => {
    const before = "class A:\r\n\tdef f(self):\r\n\t\treturn 1\r\n\r\n\tdef g(self):\r\n\t\treturn 2  # keep\r\n";
    const after = await patched(
      before,
      edits([{ path: "f.py", name: "A.f", source: "def f(self):\n    if self:\n        return 3\n    return 4" }]),
    );
    expect(after).toBe(
      "class A:\r\n\tdef f(self):\r\n\t\tif self:\r\n\t\t\treturn 3\r\n\t\treturn 4\r\n\r\n\tdef g(self):\r\n\t\treturn 2  # keep\r\n",
    );
  });

  it("adds functions and methods where they belong, before a trailing guard", async () => {
    const before = 'def f():\n    return 1\n\n\nif __name__ == "__main__":\n    f()\n';
    expect(await patched(before, edits([{ path: "f.py", name: "g", source: "def g():\n    return 2" }]))).toBe(
      'def f():\n    return 1\n\n\ndef g():\n    return 2\n\n\nif __name__ == "__main__":\n    f()\n',
    );
    expect(
      await patched(
        "class A:\n    def f(self):\n        return 1\n",
        edits([{ path: "f.py", name: "A.g", source: "def g(self):\n    return 2" }]),
      ),
    ).toBe("class A:\n    def f(self):\n        return 1\n\n    def g(self):\n        return 2\n");
  });

  it("adds an import once, below the others, and after __future__", async () => {
    const before = '"""Doc."""\nfrom __future__ import annotations\nimport re\n\n\ndef f():\n    return 1\n';
    const change = edits(
      [{ path: "f.py", name: "f", source: "def f():\n    return math.pi" }],
      [{ path: "f.py", imports: ["import math", "import re"], constants: ["LIMIT = 3"] }],
    );
    expect(await patched(before, change)).toBe(
      '"""Doc."""\nfrom __future__ import annotations\nimport re\nimport math\n\nLIMIT = 3\n\n\ndef f():\n    return math.pi\n',
    );
  });

  it("imports what only a function, a type checker or the end of the file imports so far", async () => {
    const use = { path: "f.py", name: "f", source: "def f():\n    return X" };
    const want = { path: "f.py", imports: ["from m import X"], constants: [] };
    for (const base of [
      "import os\nif TYPE_CHECKING:\n    from m import X\n\n\ndef f():\n    return 1\n",
      "import os\n\n\ndef f():\n    return 1\n\n\ndef g():\n    from m import X\n",
    ])
      expect(await patched(base, edits([use], [want]))).toContain("import os\nfrom m import X\n");
    const late = "import os\n\n\ndef f():\n    return 1\n\n\nimport last\n";
    expect(await patched(late, edits([use], [want]))).toContain("import os\nfrom m import X\n\n\ndef f");
  });

  it("replaces a constant where it stands, and refuses one that is assigned in several places", async () => {
    const f = { path: "f.py", name: "f", source: "def f():\n    return LIMIT" };
    const change = edits([f], [{ path: "f.py", imports: [], constants: ["# More.\nLIMIT = (\n    5\n)"] }]);
    expect(
      await patched("import os\r\n\r\nLIMIT: int = [\r\n  3]\r\nOTHER = 1\r\n\r\ndef f():\r\n    return 1\r\n", change),
    ).toBe("import os\r\n\r\nLIMIT = (\r\n    5\r\n)\r\nOTHER = 1\r\n\r\ndef f():\r\n    return LIMIT\r\n");
    for (const base of ["LIMIT = 1\nLIMIT = 2\n\ndef f(): pass\n", "LIMIT = 1; A = 2\n\ndef f(): pass\n"]) {
      const result = await apply(base, change);
      expect(result.ok ? "ok" : result.reason).toContain("LIMIT is assigned in several places");
    }
  });

  it("does not write twice the comment above a function", async () => {
    const before = "class A:\n    # one\n    # two\n    def f(self):\n        return 1\n";
    const source = (comments: string) => `${comments}def f(self):\n    return 2`;
    const change = (comments: string) => edits([{ path: "f.py", name: "A.f", source: source(comments) }]);
    const once = before.replace("return 1", "return 2");
    expect(await patched(before, change("# one\n# two\n"))).toBe(once);
    expect(await patched(before, change("# two\n"))).toBe(once);
    expect(await patched(before, change(""))).toBe(once);
    expect(await patched(before, change("# three\n"))).toBe(once.replace("    def", "    # three\n    def"));
  });

  it("refuses what is ambiguous, does not parse, has no class, or is no text", async () => {
    const twice = "if x:\n    def f(): pass\nelse:\n    def f(): pass\n";
    const reasons = await Promise.all([
      apply(twice, edits([{ path: "f.py", name: "f", source: "def f(): return 1" }])),
      apply("def f(): pass\n", edits([{ path: "f.py", name: "B.g", source: "def g(self): pass" }])),
      apply("x = 1\0\n", edits([{ path: "f.py", name: "f", source: "def f(): pass" }])),
      apply("def f(): pass\n", edits([{ path: "f.py", name: "f", source: "def f(:" }])),
      applyEdits(edits([{ path: "f.txt", name: "f", source: "" }]), async () => null, outlineOf),
    ]);
    expect(reasons.map((one) => (one.ok ? "ok" : one.reason))).toEqual([
      expect.stringContaining("2 times"),
      expect.stringContaining("no class"),
      expect.stringContaining("binary"),
      expect.stringContaining("does not parse"),
      expect.stringContaining("only Python"),
    ]);
  });
});

const policy = {
  blockedPaths: [] as string[],
  allowedPaths: [] as string[],
  matches: (glob: string, path: string) => path.startsWith(glob),
};
const HOSTILE = [
  "",
  "/etc/x.py",
  "../x.py",
  "a/../../x.py",
  "a//b.py",
  "./a.py",
  "C:/x.py",
  "~/x.py",
  "a\\b.py",
  ".git/hooks/x.py",
  ".GIT/x.py",
  ".git./x.py",
  "git~1/x.py",
  "a/.git/x.py",
  ".github/workflows/x.py",
  ".GitHub/x.py",
  ".gitlab/x.py",
  ".husky/x.py",
  "conftest.py",
  "a/CONFTEST.py",
  "setup.py",
  "noxfile.py",
  "sitecustomize.py",
  "tests/test_a.py",
  "pkg/test_a.py",
  "pkg/a_test.py",
  "requirements-dev.txt",
  "uv.lock",
  "CODEOWNERS",
  ".gitattributes",
  "a\0.py",
  "a\u202e.py",
  "a\u200b.py",
  "e\u0301.py",
  "a.py:stream",
  `${"a".repeat(401)}.py`,
];

describe("patch rules", () => {
  it.each(HOSTILE)("refuse the path %j", (path) => {
    expect(screenPath(path, policy)).not.toBeNull();
  });

  it("accept ordinary paths, and follow the repository's globs", () => {
    for (const path of ["a.py", "pkg/sub/mod.py", "attest.py", "github.py", "Ünï/cødé.py"])
      expect(screenPath(path, policy)).toBeNull();
    expect(screenPath("pkg/a.py", { ...policy, blockedPaths: ["pkg"] })).toContain("blocked");
    expect(screenPath("other/a.py", { ...policy, allowedPaths: ["pkg"] })).toContain("blocked");
  });

  it("refuse every path that leaves the repository or reaches git, however it is spelled", () => {
    const part = fc.constantFrom(
      "a",
      "..",
      ".",
      "",
      ".git",
      ".GiT",
      ".git ",
      "git~1",
      "b.py",
      "\\",
      "C:",
      ".github",
      "\u202e",
    );
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 5 }), (parts) => {
        const path = parts.join("/");
        if (screenPath(path, policy) !== null) return;
        expect(parts.every((one) => one === "a" || one === "b.py")).toBe(true);
      }),
      { numRuns: process.env["FUNPRM_LONG"] ? 10_000 : 1_000 },
    );
  });

  it("refuse hidden characters, look-alike names, credentials and too much, in added lines only", () => {
    const file = (after: string, before: string | null = "x = 1\n") => [
      { path: "a.py", before: before === null ? null : Buffer.from(before), after: Buffer.from(after) },
    ];
    for (const [text, rule] of [
      ["x = 1\ny = '\u202e'\n", "hidden"],
      ["x = 1\np\u0430ypal = 2\n", "hidden"],
      ["x = 1\nva\u04c0ue = 2\n", "hidden"],
      ["x = 1\n\u03f2ode = 2  # \u6ce8\n", "hidden"],
      ["x = 1\n\uff45val('2')  # \u6ce8\n", "hidden"],
      [`x = 1\ntoken = 'ghp_${"a".repeat(36)}'\n`, "secret"],
      [
        `x = 1\n${"y = 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'\n".repeat(5000).replace(/y/g, () => "y")}${Array.from({ length: 6000 }, (_, i) => `v${i} = '${"b".repeat(50)}'`).join("\n")}\n`,
        "size",
      ],
    ] as const)
      expect(screenFiles(file(text), policy)).toContain(rule);
    expect(screenFiles(file("y = '\u202e'\nz = 2\n", "y = '\u202e'\n"), policy)).toBeNull();
    expect(screenFiles(file("print('\\n\u041f\u0440\u0438\u0432\u0435\u0442')\n"), policy)).toBeNull();
  });
});

import { beforeAll, describe, expect, test } from "vitest";
import { createSyntax } from "../../src/adapters/tree-sitter/create-syntax.ts";
import { findRelevantCode } from "../../src/flows/find-relevant-code.ts";
import type { Checkout, Syntax } from "../../src/ports.ts";

let syntax: Syntax;
beforeAll(async () => {
  syntax = await createSyntax();
});

function checkout(files: Record<string, string>, reads: string[] = []): Checkout {
  return {
    sha: "s",
    root: "/nowhere",
    files: async () =>
      Object.entries(files).map(([path, text]) => ({ path, mode: "100644" as const, size: Buffer.byteLength(text) })),
    read: async (path) => {
      reads.push(path);
      return Buffer.from(files[path]!);
    },
    tree: async () => "",
    dispose: async () => {},
  };
}
const signal = new AbortController().signal;
const issue = { title: "Parser drops the last line", body: "See `billing/parser.py`." };
const source = (name: string) =>
  `def ${name}(text):\n    return text\n\n\nasync def ${name}_too(text):\n    return text\n`;

describe("a repository too large to look at whole", () => {
  const files = {
    "a/one.py": source("one"),
    "tests/test_parser.py": source("test_parser"),
    "billing/parser.py": source("parse"),
    "z/last.py": source("last"),
  };

  test("files whose path the issue names come first, tests last, and how much was left out is known", async () => {
    const found = await findRelevantCode(checkout(files), issue, syntax, signal, { functions: 4, bytes: 1e9 });
    expect(found.lookedAt).toEqual({ files: 2, of: 4 });
    expect(new Set(found.located.map((one) => one.path))).toContain("billing/parser.py");
    const byBytes = await findRelevantCode(checkout(files), issue, syntax, signal, { functions: 100, bytes: 10 });
    expect(byBytes.lookedAt).toEqual({ files: 1, of: 4 });
  });

  test("what fits is looked at whole, and nothing is said", async () => {
    const found = await findRelevantCode(checkout(files), issue, syntax, signal, { functions: 8, bytes: 1e9 });
    expect(found.lookedAt).toBeNull();
  });

  test("a file over 2 MB is not read", async () => {
    const reads: string[] = [];
    const large = `${source("parse")}#${" ".repeat(2 * 1024 * 1024)}\n`;
    const found = await findRelevantCode(
      checkout({ "billing/parser.py": large, "a.py": source("one") }, reads),
      issue,
      syntax,
      signal,
    );
    expect(reads).toEqual(["a.py"]);
    expect(found.located.every((one) => one.path === "a.py")).toBe(true);
  });

  test("a repository without Python, and files that are no text, give nothing and throw nothing", async () => {
    expect(await findRelevantCode(checkout({ "README.md": "hi" }), issue, syntax, signal)).toMatchObject({
      located: [],
      lookedAt: null,
    });
    expect(
      (
        await findRelevantCode(
          checkout({ "b.py": "\0\0\0", "c.py": "\ufeffdef f(:\r\n  x\r\n" }),
          issue,
          syntax,
          signal,
        )
      ).lookedAt,
    ).toBeNull();
  });
});

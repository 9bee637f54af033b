/** Whatever the bytes, the slices joined are the file. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createSyntax } from "../../src/adapters/tree-sitter/create-syntax.ts";
import { decodeSource, encodeSource, segment } from "../../src/domain/segment.ts";

const syntax = await createSyntax();

function split(bytes: Uint8Array) {
  const source = decodeSource(bytes);
  return { source, file: segment(source, syntax.outline(source.text, "python"), "a.py") };
}

describe("bytes", () => {
  const line = fc.constantFrom(
    "def f():",
    "    def g(self): pass",
    "    return 1  # c",
    "class C:",
    "@d",
    "# é €",
    "    # in",
    "'''",
    "x = (",
    ")",
    "if x:",
    "\tdef h(): return '😀'",
    "",
    "\ufeff",
    "\0",
    "async def k(a,",
    "        b): pass",
  );
  const text = fc
    .array(fc.tuple(line, fc.constantFrom("\n", "\r\n", "\r", "\f\n", " \\\n")), { maxLength: 40 })
    .map((lines) => lines.flat().join(""));

  it.each([
    ["UTF-8", text.map((t) => new Uint8Array(Buffer.from(t, "utf8")))],
    ["latin-1", text.map((t) => new Uint8Array(Buffer.from(`${t}\xe9\x80`, "latin1")))],
    ["any bytes", fc.uint8Array({ maxLength: 300 })],
  ])("%s: slices joined equal the file, in order, without holes", (_, files) => {
    fc.assert(
      fc.property(files, (bytes) => {
        const { source, file } = split(bytes);
        expect(file.bytes).toBe(bytes.length);
        expect(file.steps.length).toBeGreaterThan(0);
        let at = 0;
        for (const [index, step] of file.steps.entries()) {
          expect(step.index).toBe(index);
          expect(step.startByte).toBe(at);
          at = step.endByte;
          expect(Buffer.from(encodeSource(step.source, source.encoding))).toEqual(
            Buffer.from(bytes.subarray(step.startByte, step.endByte)),
          );
          expect(step.endLine).toBeGreaterThanOrEqual(step.startLine);
        }
        expect(at).toBe(bytes.length);
      }),
      { numRuns: 500 },
    );
  });

  it("reads what is not UTF-8 as latin-1, every byte one character", () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    const source = decodeSource(bytes);
    expect(source).toMatchObject({ encoding: "latin-1", bytes: 256 });
    expect(Buffer.from(encodeSource(source.text, "latin-1"))).toEqual(Buffer.from(bytes));
  });
});

describe("definitions", () => {
  it("no definition starts or ends outside its own slice", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.constantFrom(
            "def f(): pass\n",
            "@d\n",
            "# c\n",
            "    # i\n",
            "x = 1\n",
            "class C:\n  def m(s):\n    pass\n",
          ),
        ),
        (parts) => {
          const bytes = Buffer.from(parts.join(""));
          const { file } = split(bytes);
          if (file.steps[0]!.kind === "module") return;
          const lineAt = (byte: number) => bytes.subarray(0, byte).toString().split("\n").length;
          for (const step of file.steps) {
            expect(lineAt(step.startByte)).toBeLessThanOrEqual(step.startLine);
            expect(lineAt(step.endByte - 1)).toBeGreaterThanOrEqual(step.endLine);
          }
        },
      ),
    );
  });

  it("adding a comment line before a function changes no other step's text", () => {
    const source = "def a():\n    return 1\n\ndef b():\n    return 2\n\ndef c():\n    return 3\n";
    const plain = split(Buffer.from(source)).file.steps.map((step) => step.source);
    const commented = split(Buffer.from(source.replace("def b", "# why\ndef b"))).file.steps.map((step) => step.source);
    expect([commented[0], commented[2]]).toEqual([plain[0], plain[2]]);
    expect(commented[1]).toBe("\n# why\ndef b():\n    return 2\n");
  });
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { anchor, parseHunks } from "../../src/domain/hunks.ts";
import { lineDiff } from "../../src/domain/line-diff.ts";

const PATCH = ["@@ -1,3 +1,4 @@", " a", "+b", " c", " d", "@@ -20,3 +21,2 @@ def f():", " x", "-y", " z"].join("\n");

describe("hunks", () => {
  it("number the lines of the right side", () => {
    expect(parseHunks(PATCH)).toEqual([
      { start: 1, end: 4, added: [2] },
      { start: 21, end: 22, added: [] },
    ]);
    expect(parseHunks("@@ -0,0 +1 @@\n+only\n\\ No newline at end of file")).toEqual([
      { start: 1, end: 1, added: [1] },
    ]);
  });

  it("anchor a comment on the intersection of function and hunk, and refuse where there is none", () => {
    const hunks = parseHunks(PATCH);
    expect(anchor(hunks, 2, 30)).toEqual({ startLine: 2, line: 4 });
    expect(anchor(hunks, 10, 21)).toEqual({ startLine: null, line: 21 });
    expect(anchor(hunks, 5, 20)).toBeNull();
  });

  it("never anchor outside one hunk", () => {
    const hunk = fc.record({ start: fc.nat(50), length: fc.integer({ min: 1, max: 9 }) });
    fc.assert(
      fc.property(
        fc.array(hunk, { maxLength: 5 }),
        fc.integer({ min: 1, max: 60 }),
        fc.nat(20),
        (parts, start, length) => {
          let at = 1;
          const hunks = parts.map((part) => {
            const first = at + part.start;
            at = first + part.length + 1;
            return { start: first, end: first + part.length - 1, added: [first] };
          });
          const found = anchor(hunks, start, start + length);
          if (!found) {
            expect(hunks.some((one) => one.start <= start + length && one.end >= start)).toBe(false);
            return;
          }
          const first = found.startLine ?? found.line;
          expect(hunks.some((one) => one.start <= first && found.line <= one.end)).toBe(true);
          expect(first >= start && found.line <= start + length && first <= found.line).toBe(true);
        },
      ),
    );
  });
});

describe("lineDiff", () => {
  it("marks what one version has and the other has not", () => {
    expect(lineDiff("a\nb\nc\n", "a\nB\nc\n")).toBe(" a\n-b\n+B\n c");
  });

  it("gives both texts back: minus and context is the first, plus and context the second", () => {
    const text = fc
      .array(fc.constantFrom("a", "b", "c"), { minLength: 1, maxLength: 12 })
      .map((lines) => lines.join("\n"));
    fc.assert(
      fc.property(text, text, (before, after) => {
        const lines = lineDiff(before, after, 99).split("\n");
        const side = (mark: string) =>
          lines.filter((line) => line.startsWith(" ") || line.startsWith(mark)).map((line) => line.slice(1));
        if (before === after) return;
        expect(side("-").join("\n")).toBe(before);
        expect(side("+").join("\n")).toBe(after);
      }),
    );
  });
});

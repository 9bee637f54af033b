/** A sentence in a comment is not in what is scored; in a docstring or a string it is, and the program still is the same. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { createSyntax } from "../../src/adapters/tree-sitter/create-syntax.ts";
import { TEXT_PLACES, type TextPlace, withText } from "../../src/domain/appended-text.ts";
import { renderSteps } from "../../src/domain/render.ts";
import { decodeSource, segment } from "../../src/domain/segment.ts";

const syntax = await createSyntax();
const texts = readFileSync(new URL("../../bench/data/persuasive-texts.txt", import.meta.url), "utf8")
  .trim()
  .split("\n");

const PROGRAMS = [
  "def f(a, b=':'):\n    return a\n",
  'class C:\n    @d\n    def f(\n        self,  # me\n    ):\n        """Doc."""\n        return 1\n',
  "def f():\n    '''\n    Doc.\n    '''\n    # c\n    x = 1\n    return x\n",
  "async def f(x: dict[str, int] = {}) -> int:\n    # first\n\n    return x",
];

const definitionOf = (source: string) => syntax.outline(source, "python").definitions[0]!;
const written = (source: string, text: string, place: TextPlace) => withText(source, definitionOf(source), text, place);
const rendered = (source: string) => {
  const outline = syntax.outline(source, "python");
  return renderSteps(segment(decodeSource(Buffer.from(source)), outline, null), outline).join("\n");
};

describe.each(TEXT_PLACES)("in a %s", (place) => {
  it("parses, keeps the function, and shows where strings show", () => {
    for (const source of PROGRAMS)
      for (const text of texts) {
        const changed = written(source, text, place)!;
        const outline = syntax.outline(changed, "python");
        expect([text, outline.parsed, outline.definitions.length]).toEqual([text, true, 1]);
        if (place === "comment") expect(rendered(changed)).toBe(rendered(source));
        else expect(rendered(changed).length).toBeGreaterThanOrEqual(rendered(source).length + text.length);
        if (place === "docstring") expect(outline.definitions[0]!.docstring).not.toBeNull();
      }
  });
});

it("a function on one line is left alone", () => {
  for (const place of TEXT_PLACES) expect(written("def f(): return 1\n", "Right.", place)).toBeNull();
  expect(written('def f(): "Doc."\n', "Right.", "docstring")).toBe('def f(): "Doc. Right."\n');
});

/** Whatever a program calls its functions, a table of them keeps its cells. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { code, plain, table } from "../../src/domain/markdown.ts";
import { renderMarkdown } from "../../src/fake-github/markdown.ts";

const cellsOf = (html: string) => [...html.matchAll(/<td>([\s\S]*?)<\/td>/g)].map((match) => match[1]!);
const text = (html: string) =>
  html
    .replace(/<[^>]*>/g, "")
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&quot;", '"')
    .replaceAll("&#39;", "'")
    .replaceAll("&amp;", "&");

it("any text as code and as plain text is one cell each", () => {
  const piece = fc.constantFrom("|", "\\", "`", "a", " ", "||", "\\|", "``", "*", "<b>", "\n", "x|y");
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (parts) => {
      const written = `f${parts.join("")}g`;
      const cells = cellsOf(renderMarkdown(table(["a", "b", "c"], [[code(written), plain(written), "end"]])));
      expect([written, cells.length, cells[2]]).toEqual([written, 3, "end"]);
    }),
    { numRuns: 2_000 },
  );
});

it("a bar in code is shown as it is, in a table and outside", () => {
  expect(code("a|b")).toBe("`a|b`");
  expect(text(renderMarkdown(code("a|b"))).trim()).toBe("a|b");
  expect(text(cellsOf(renderMarkdown(table(["h"], [[code("int | None")]])))[0]!)).toBe("int | None");
});

/** Every adapter of the port gives the outline the shared vectors ask for, and the same one for any text at all. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createSyntax } from "../../src/adapters/tree-sitter/create-syntax.ts";
import { loadNativeParser } from "../../src/adapters/tree-sitter/native-parser.ts";
import { decodeSource, segment } from "../../src/domain/segment.ts";

type Vector = {
  name: string;
  source: string;
  parsed: boolean;
  steps: [name: string, kind: string, startLine: number, endLine: number, docstring: boolean, source: string][];
};
const vectors = JSON.parse(
  readFileSync(join(import.meta.dirname, "../vectors/segment/python.json"), "utf8"),
) as Vector[];

const web = await createSyntax({ native: false });
const adapters = [{ adapter: "web-tree-sitter", syntax: web }];
const hasNative = loadNativeParser() !== null;
if (hasNative) adapters.push({ adapter: "native tree-sitter", syntax: await createSyntax() });

describe.each(adapters)("$adapter", ({ syntax }) => {
  it.each(vectors)("$name", ({ source, parsed, steps }) => {
    const file = segment(decodeSource(Buffer.from(source)), syntax.outline(source, "python"), "a.py");
    expect({
      parsed: file.parsed,
      steps: file.steps.map((s) => [s.name, s.kind, s.startLine, s.endLine, s.docstring, s.source]),
    }).toEqual({ parsed, steps });
  });

  it("tells signature, docstring, calls, classes, imports and comments", () => {
    const source = [
      "import a",
      "try:",
      "    from b import c",
      "except ImportError: pass",
      "class K(Base):",
      "    '''Of K.'''",
      "    import d",
      "    @deco(1)",
      "    async def f(",
      "        self,  # me",
      "        x: int = len('#'),",
      "    ) -> dict[str, int]:",
      '        """First.',
      "",
      "          Deeper.",
      '        """',
      "        self.go(x)(y); print(f'{other(1)!r:>{wide(2)}}')  # end",
      "        def inner(): return match(x)",
    ].join("\n");
    const outline = syntax.outline(source, "python");
    const text = ({ start, end }: { start: number; end: number }) => source.slice(start, end);
    expect(outline.parsed).toBe(true);
    expect(outline.imports.map(text)).toEqual(["import a", "from b import c"]);
    expect(outline.comments.map(text)).toEqual(["# me", "# end"]);
    expect(outline.classes).toEqual([
      {
        name: "K",
        span: { start: source.indexOf("class"), end: source.length },
        startLine: 5,
        endLine: 18,
        docstring: "Of K.",
      },
    ]);
    const [definition] = outline.definitions;
    expect(definition).toMatchObject({
      name: "K.f",
      simpleName: "f",
      kind: "method",
      startLine: 8,
      endLine: 18,
      signature: "async def f( self, x: int = len('#'), ) -> dict[str, int]",
      nested: 1,
      calls: ["deco", "len", "go", "print", "other", "wide", "match"],
    });
    expect(definition!.docstring!.text).toBe("First.\n\nDeeper.");
    expect(text(definition!.docstring!.span)).toMatch(/^"""First[\s\S]*"""$/);
  });

  it("takes a source longer than any buffer, and none at all", () => {
    const many = Array.from({ length: 40_000 }, (_, i) => `def f${i}(x):\n    return "é€😀" * x + ${i}\n`).join("");
    expect(Buffer.byteLength(many)).toBeGreaterThan(1_900_000);
    const file = segment(decodeSource(Buffer.from(many)), syntax.outline(many, "python"), null);
    expect(file.steps).toHaveLength(40_000);
    expect(file.steps[39_999]).toMatchObject({
      name: "f39999",
      startLine: 79_999,
      endLine: 80_000,
      endByte: file.bytes,
    });
    expect(syntax.outline("", "python")).toEqual({
      language: "python",
      parsed: true,
      definitions: [],
      classes: [],
      imports: [],
      comments: [],
    });
  });

  it.each([
    ["brackets", "([{".repeat(60_000)],
    ["definitions with unclosed brackets", "def f(\n".repeat(30_000)],
    ["unclosed f-strings", 'f"{'.repeat(60_000)],
    ["escaped triple quotes", `"""${'\\"""'.repeat(50_000)}`],
    ["unclosed docstrings", 'def f():\n  """a\n'.repeat(10_000)],
    ["NUL", "\0".repeat(200_000)],
    ["lone surrogates", "def a(): '\ud800'\n\udc00".repeat(5_000)],
  ])("survives a file of nothing but %s", (_, source) => {
    const outline = syntax.outline(source, "python");
    let at = 0;
    for (const { span } of outline.definitions) {
      expect(span.start).toBeGreaterThanOrEqual(at);
      at = span.end;
    }
    expect(at).toBeLessThanOrEqual(source.length);
  });
});

it("the native parser loads where its optional package is installed, and both give equal outlines of any text", () => {
  const native = adapters.at(-1)!.syntax;
  const pieces = fc.constantFrom(
    ...'def |async |class |f|C|(|)|:|\n|    |\t|@d|"|\'|"""|f"{|}|#|\\|\r\n|[|]|lambda x: x|return|pass|if x|else|\ufeff|é|😀|\0|=|1|,|match x|case 1'.split(
      "|",
    ),
  );
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 60 }), (parts) => {
      const source = parts.join("");
      expect(native.outline(source, "python")).toEqual(web.outline(source, "python"));
    }),
    { numRuns: 1_000 },
  );
});

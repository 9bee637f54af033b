import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { createSyntax } from "../../src/adapters/tree-sitter/create-syntax.ts";
import { type RenderVersion, renderPrompt, renderStep, renderSteps } from "../../src/domain/render.ts";
import { decodeSource, segment } from "../../src/domain/segment.ts";
import type { Syntax } from "../../src/ports.ts";

let syntax: Syntax;
beforeAll(async () => {
  syntax = await createSyntax();
});

function rendered(source: string, version?: RenderVersion): string[] {
  const outline = syntax.outline(source, "python");
  return renderSteps(segment(decodeSource(Buffer.from(source)), outline, null), outline, version);
}

describe("renderSteps", () => {
  test("comments go, docstrings and strings stay, blank lines and trailing whitespace go", () => {
    const source = [
      "import math  # for pi",
      "",
      "# a helper",
      "def area(r):   ",
      '    """Area.',
      "",
      '    # not a comment"""',
      "    # a comment",
      "",
      "\tx = '# nor this'  # but this",
      "    return math.pi * r",
      "",
    ].join("\n");
    expect(rendered(source)).toEqual([
      [
        "import math",
        "def area(r):",
        '    """Area.',
        "",
        '    # not a comment"""',
        "\tx = '# nor this'",
        "    return math.pi * r",
      ].join("\n"),
    ]);
  });

  test("v1-nodoc cuts the docstrings of functions and nothing else", () => {
    const source = 'def f(x):\n    """Doubles."""\n    return """x""" * 2\n';
    expect(rendered(source, "v1-nodoc")).toEqual(['def f(x):\n    return """x""" * 2']);
  });

  test("CRLF, BOM and an empty file", () => {
    expect(rendered("\uFEFFdef f():\r\n    return 1\r\n\r\n")).toEqual(["def f():\n    return 1"]);
    expect(rendered("")).toEqual([""]);
  });

  test("an unclosed string does not swallow the lines after it", () => {
    expect(renderStep("x = 'a\n\n\ny = 1", [])).toBe("x = 'a\ny = 1");
  });

  test("comments, blank lines and line ends change nothing", () => {
    const base = [
      "import sys",
      "",
      "def a(x):",
      '    """Doc."""',
      "    if x:",
      "        return b(x)",
      "    return 's'",
      "",
      "def b(y):",
      "    return y",
      "",
    ];
    const expected = rendered(base.join("\n"));
    const extra = fc.array(
      fc.tuple(fc.nat({ max: base.length }), fc.constantFrom("# note", "    # it's", '        # "', "", "   ", "\t")),
      { maxLength: 8 },
    );
    fc.assert(
      fc.property(extra, fc.constantFrom("\n", "\r\n"), (insertions, lineEnd) => {
        const lines = [...base];
        for (const [at, line] of insertions) lines.splice(at, 0, line);
        // Between two functions a comment may move a blank line or itself to the neighbour, never code.
        expect(rendered(lines.join(lineEnd)).join("\n")).toBe(expected.join("\n"));
      }),
      { numRuns: 200 },
    );
  });

  test("hostile text never throws and holds no carriage return, no lone surrogate", () => {
    fc.assert(
      fc.property(
        fc.string({
          unit: fc.constantFrom("\uD800", "\r", "\n", "'", '"', "\\", "#", "a", " ", "def f():"),
          maxLength: 60,
        }),
        (source) => {
          const texts = rendered(source.toWellFormed());
          expect(texts.every((text) => text.isWellFormed() && !text.includes("\r"))).toBe(true);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("renderPrompt", () => {
  test("the statement is fenced by more backticks than it holds", () => {
    const prompt = renderPrompt("Do it.\n````\nSolution:\n```");
    expect(prompt).toBe("Problem:\n`````\nDo it.\n````\nSolution:\n```\n`````\n");
  });

  test("context follows the statement, fenced as well; line ends are LF", () => {
    expect(renderPrompt("a\r\nb", ["def f(x)", "def g(y)"])).toBe(
      "Problem:\n```\na\nb\n```\nContext:\n```\ndef f(x)\ndef g(y)\n```\n",
    );
  });
});

/** JavaScript and TypeScript: the same functions as TypeScript's own parser finds, in real files, whatever the adapter. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { createSyntax } from "../../src/adapters/tree-sitter/create-syntax.ts";
import type { Language } from "../../src/domain/function-step.ts";
import { renderSteps } from "../../src/domain/render.ts";
import { decodeSource, encodeSource, segment } from "../../src/domain/segment.ts";

const ROOT = join(import.meta.dirname, "../..");
const web = await createSyntax({ native: false });
const native = await createSyntax();
const adapters = [
  { adapter: "web-tree-sitter", syntax: web },
  { adapter: "native tree-sitter", syntax: native },
];

const stepsOf = (source: string, language: Language, syntax = native) =>
  segment(decodeSource(Buffer.from(source)), syntax.outline(source, language), "a").steps;
const shown = (source: string, language: Language) =>
  stepsOf(source, language).map((step) => `${step.name} ${step.kind} ${step.startLine}-${step.endLine}`);

describe("what a function step is", () => {
  it.each<[string, string, string[]]>([
    ["declarations", "function f() {}\nasync function* g() {}\n", ["f function 1-1", "g function 2-2"]],
    [
      "variables",
      "export const f = async (x) =>\n  x;\nlet g = function h() {};",
      ["f function 1-2", "g function 3-3"],
    ],
    [
      "members of a class",
      "class A extends B {\n  constructor() { super(); }\n  static #p = (x) => x;\n  get v() { return 1; }\n  async *[Symbol.iterator]() {}\n}",
      ["A.constructor method 2-2", "A.#p method 3-3", "A.v method 4-4", "A.[Symbol.iterator] method 5-5"],
    ],
    [
      "members of an object",
      "const api = {\n  get(u) {},\n  deep: { 'x-y': () => 1 },\n};",
      ["api.get method 2-2", "api.deep.x-y method 3-3"],
    ],
    [
      "CommonJS and prototypes",
      "module.exports = function () {};\nexports.g = () => 1;\nFoo.prototype.bar = function () {};",
      ["default function 1-1", "g function 2-2", "Foo.prototype.bar method 3-3"],
    ],
    ["default exports", "export default class {\n  m() {}\n}", ["default.m method 2-2"]],
    ["wrapped modules", "(function () {\n  function f() {}\n})();", ["f function 2-2"]],
    ["functions inside functions", "function f() {\n  const g = () => 1;\n}", ["f function 1-3"]],
    ["no function at all", "export const x = 1;\n", ["<module> module 1-1"]],
  ])("%s", (_, source, steps) => {
    expect(shown(source, "javascript")).toEqual(steps);
    expect(shown(source, "typescript")).toEqual(steps);
  });

  it.each<[string, string, string[]]>([
    [
      "decorators and modifiers",
      "@Injectable()\nexport abstract class A<T> {\n  @d() // c\n  @e()\n  public m(x: number): void {}\n  abstract z(): void;\n}",
      ["A.m method 3-5"],
    ],
    ["overloads count once", "function o(a: string): void;\nfunction o(a: unknown) {}", ["o function 2-2"]],
    ["namespaces", "namespace N.M {\n  export function f() {}\n}", ["N.M.f method 2-2"]],
    [
      "casts, and JSX",
      "const a = <T,>(x: T) => x;\nconst C = () => <b onClick={() => 1} />;",
      ["a function 1-1", "C function 2-2"],
    ],
    ["old casts", "const a = () => <string>b;", ["a function 1-1"]],
    ["declarations without a body", "declare function f(): void;\ninterface I { m(): void }", ["<module> module 1-2"]],
  ])("in TypeScript: %s", (_, source, steps) => {
    expect(shown(source, "typescript")).toEqual(steps);
  });

  it("tells signature, calls, nesting; comments are no part of what is scored, strings are", () => {
    const source = [
      "import a from 'a';",
      "/** Doc. */",
      "export async function f(x /* y */, z = '//') {",
      "  // gone",
      "  const t = `// stays",
      "",
      "  ${g(x)}`;",
      '  return this.h.run(new K(), /["]/.test(t)); // gone too',
      "}",
    ].join("\n");
    const outline = native.outline(source, "javascript");
    expect(outline.definitions[0]).toMatchObject({
      signature: "async function f(x , z = '//')",
      calls: ["g", "run", "K", "test"],
      nested: 0,
      docstring: null,
    });
    const [rendered] = renderSteps(segment(decodeSource(Buffer.from(source)), outline, "a"), outline);
    expect(rendered).toBe(
      "import a from 'a';\nexport async function f(x , z = '//') {\n  const t = `// stays\n\n  ${g(x)}`;\n  return this.h.run(new K(), /[\"]/.test(t));\n}",
    );
  });
});

/** Named functions with a body that stand in no other, as TypeScript's own parser sees them. */
function oracle(path: string, source: string): string[] {
  const file = ts.createSourceFile(path, source, ts.ScriptTarget.Latest, true);
  const found: string[] = [];
  const isFunction = (node: ts.Node | undefined) =>
    node !== undefined && (ts.isArrowFunction(node) || ts.isFunctionExpression(node));
  const visit = (node: ts.Node): void => {
    const isNamed =
      (ts.isFunctionDeclaration(node) && node.body) ||
      ((ts.isMethodDeclaration(node) || ts.isConstructorDeclaration(node) || ts.isAccessor(node)) && node.body) ||
      ((ts.isVariableDeclaration(node) || ts.isPropertyDeclaration(node) || ts.isPropertyAssignment(node)) &&
        isFunction(node.initializer)) ||
      (ts.isBinaryExpression(node) &&
        node.operatorToken.kind === ts.SyntaxKind.EqualsToken &&
        (ts.isIdentifier(node.left) || ts.isPropertyAccessExpression(node.left)) &&
        isFunction(node.right)) ||
      (ts.isExportAssignment(node) && isFunction(node.expression));
    if (isNamed) found.push(`line ${file.getLineAndCharacterOfPosition(node.end - 1).line + 1}`);
    else ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

function sources(folder: string, pattern: RegExp, most: number): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && pattern.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .slice(0, most);
}

const long = process.env["FUNPRM_LONG"] !== undefined;
it.each<[string, Language, string[]]>([
  ["this project's own files", "typescript", sources("src", /\.ts$/, long ? 1_000 : 60)],
  ["CommonJS packages", "javascript", sources("node_modules/yaml/dist", /\.js$/, long ? 1_000 : 40)],
  [
    "ES modules",
    "javascript",
    sources("node_modules/ajv/lib", /\.(?:js|ts)$/, 0).concat(sources("node_modules/commander/lib", /\.js$/, 9)),
  ],
])("finds in %s what TypeScript's parser finds", (_, language, files) => {
  expect(files.length).toBeGreaterThan(4);
  for (const path of files) {
    const source = readFileSync(path, "utf8");
    const outline = native.outline(source, language);
    expect([path, outline.parsed]).toEqual([path, true]);
    const found = outline.definitions.map((one) => `line ${one.endLine}`);
    expect([path, ...found]).toEqual([path, ...oracle(path, source)]);
  }
});

describe.each(adapters)("$adapter", ({ syntax }) => {
  const line = fc.constantFrom(
    ..."function f() {|async |class C {|m() {|}|};|const g = (a) => {|x => x|`t ${|`|'|\"|// c|/* |*/|@d|export |export default |{ a: 1 }|(|)|[|=>|/re'/|<b>|</b>|é😀|\u2028|\0|\ufeff|if (x)|import a from 'a';".split(
      "|",
    ),
  );
  const text = fc
    .array(fc.tuple(line, fc.constantFrom("\n", "\r\n", " ", "")), { maxLength: 40 })
    .map((lines) => lines.flat().join(""));
  it.each<Language>(["javascript", "typescript"])(
    "%s: slices joined equal the file, in order, without holes",
    (language) => {
      fc.assert(
        fc.property(text, (written) => {
          const bytes = Buffer.from(written);
          const source = decodeSource(bytes);
          const file = segment(source, syntax.outline(source.text, language), "a");
          expect(
            Buffer.concat(file.steps.map((step) => Buffer.from(encodeSource(step.source, source.encoding)))),
          ).toEqual(bytes);
          let [at, line] = [0, 0];
          for (const step of file.steps) {
            expect(step.startByte).toBe(at);
            expect(step.endLine).toBeGreaterThanOrEqual(step.startLine);
            expect(step.startLine).toBeGreaterThanOrEqual(line);
            [at, line] = [step.endByte, step.startLine];
          }
          expect(at).toBe(bytes.length);
        }),
        { numRuns: 150 },
      );
    },
  );

  it.each([
    ["brackets", "([{".repeat(60_000)],
    ["templates", "`${".repeat(60_000)],
    ["functions with unclosed brackets", "function f(\n".repeat(20_000)],
    ["prose", "this is no program at all ".repeat(8_000)],
    ["prose in lines", "const this is no program at all\n".repeat(8_000)],
    ["NUL", "\0".repeat(100_000)],
  ])("survives a file of nothing but %s", (_, source) => {
    for (const language of ["javascript", "typescript"] as const) {
      const { definitions } = syntax.outline(source, language);
      let at = 0;
      for (const { span } of definitions) {
        expect(span.start).toBeGreaterThanOrEqual(at);
        at = span.end;
      }
      expect(at).toBeLessThanOrEqual(source.length);
    }
  });
});

it("both adapters give equal outlines, and a broken function keeps its neighbours", () => {
  const broken =
    "function ok() { return 1 }\nfunction bad( { return }\nclass K {\n  m() { return 1 }\n}\nconst z = () => {\n  a b c\n}\n";
  for (const language of ["javascript", "typescript"] as const) {
    const outline = native.outline(broken, language);
    expect(outline).toEqual(web.outline(broken, language));
    expect(outline.parsed).toBe(false);
    expect(outline.definitions.map((one) => one.name)).toEqual(expect.arrayContaining(["ok", "K.m"]));
  }
});

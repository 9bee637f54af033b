/** Values of the judge: forms survive the way in and out, equality is an equivalence that never blurs types. */
import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { CompareRule, JsonValue } from "../../src/domain/judge.ts";
import { parseProblem } from "../../src/domain/judge-problem.ts";
import {
  decodeValue,
  parseExactJson,
  sameOutput,
  sameValue,
  toJsonText,
  toPythonLiteral,
  type Value,
} from "../../src/domain/judge-values.ts";

const { value } = fc.letrec<{ value: Value; leaf: Value; key: Value }>((tie) => ({
  key: fc.oneof(
    fc.string({ unit: "binary" }).map((text): Value => ({ kind: "str", value: text })),
    fc.bigInt().map((number): Value => ({ kind: "int", value: number })),
  ),
  leaf: fc.oneof(
    fc.constant<Value>({ kind: "none" }),
    fc.boolean().map((flag): Value => ({ kind: "bool", value: flag })),
    fc.bigInt({ min: -(2n ** 200n), max: 2n ** 200n }).map((number): Value => ({ kind: "int", value: number })),
    fc.double({ noNaN: true }).map((number): Value => ({ kind: "float", value: number })),
    fc.string({ unit: "binary" }).map((text): Value => ({ kind: "str", value: text })),
    fc
      .uint8Array({ maxLength: 8 })
      .map((bytes): Value => ({ kind: "bytes", value: Buffer.from(bytes).toString("base64") })),
  ),
  value: fc.oneof(
    { maxDepth: 3 },
    tie("leaf"),
    fc
      .tuple(fc.constantFrom("list" as const, "tuple" as const), fc.array(tie("value"), { maxLength: 4 }))
      .map(([kind, items]): Value => ({ kind, items })),
    fc
      .tuple(
        fc.constantFrom("set" as const, "frozenset" as const),
        fc.uniqueArray(tie("key"), { maxLength: 4, selector: toJsonText }),
      )
      .map(([kind, items]): Value => ({ kind, items })),
    fc
      .uniqueArray(fc.tuple(tie("key"), tie("value")), { maxLength: 4, selector: ([key]) => toJsonText(key) })
      .map((entries): Value => ({ kind: "dict", entries, of: null })),
  ),
}));

const through = (one: Value) => decodeValue(parseExactJson(toJsonText(one)));

describe("value forms", () => {
  it("survive JSON text exactly", () => {
    fc.assert(
      fc.property(value, (one) => sameValue(one, through(one), {}) && toJsonText(through(one)) === toJsonText(one)),
    );
  });

  it("are what Python reads, and what the driver writes is what we read", () => {
    const samples = fc.sample(value, 300);
    const script = `
import sys, json, base64
def show(v):
    if v is None or isinstance(v, bool): return repr(v)
    if isinstance(v, (list, tuple)): return type(v).__name__ + "(" + ",".join(map(show, v)) + ")"
    if isinstance(v, (set, frozenset)): return type(v).__name__ + "(" + ",".join(sorted(map(show, v))) + ")"
    if isinstance(v, dict): return "dict(" + ",".join(sorted(show(k) + ":" + show(x) for k, x in v.items())) + ")"
    if isinstance(v, str): return "str:" + "".join("%x," % ord(c) for c in v)
    if isinstance(v, bytes): return "bytes:" + v.hex()
    if isinstance(v, float): return "float:" + v.hex()
    return "int:%x" % v
for line in sys.stdin:
    print(show(eval(line, {"inf": float("inf"), "nan": float("nan")})))
`;
    const shown = execFileSync("/usr/bin/python3", ["-c", script], {
      input: samples.flatMap((one) => [toPythonLiteral(one), toPythonLiteral(through(one))]).join("\n"),
      encoding: "utf8",
    }).split("\n");
    samples.forEach((_, index) => {
      expect(shown[2 * index]).toBe(shown[2 * index + 1]);
    });
  });

  it("compare as an equivalence, NaN apart", () => {
    const rules: CompareRule[] = [{}, { numbers: "loose" }, { sequence: "loose" }, { float: { abs: 0, rel: 0 } }];
    fc.assert(
      fc.property(value, value, fc.constantFrom(...rules), (a, b, rule) => {
        expect(sameValue(a, a, rule)).toBe(true);
        expect(sameValue(a, b, rule)).toBe(sameValue(b, a, rule));
        if (sameValue(a, b, {})) expect(sameValue(a, b, rule)).toBe(true);
      }),
    );
    const nan: Value = { kind: "float", value: Number.NaN };
    for (const rule of [...rules, { float: { abs: 1, rel: 1 } }]) {
      expect(sameValue(nan, nan, rule)).toBe(false);
      expect(sameValue({ kind: "list", items: [nan] }, { kind: "list", items: [nan] }, rule)).toBe(false);
    }
  });

  it.each<[JsonValue, JsonValue, CompareRule, boolean]>([
    [1, { $float: "1.0" }, {}, false],
    [1, true, {}, false],
    [1, { $float: "1.0" }, { numbers: "loose" }, true],
    [1, true, { numbers: "loose" }, true],
    [{ $int: "9007199254740993" }, { $float: "9007199254740992" }, { numbers: "loose" }, false],
    [[1, 2], { $tuple: [1, 2] }, {}, false],
    [[1, [2]], { $tuple: [1, { $tuple: [2] }] }, { sequence: "loose" }, true],
    [{ $set: [1, 2] }, { $set: [2, 1] }, {}, true],
    [{ $set: [1] }, { $frozenset: [1] }, {}, false],
    [{ a: 1, b: 2 }, { b: 2, a: 1 }, {}, true],
    [{ a: 1 }, { $dict: [["a", 1]], $class: "Counter" }, {}, false],
    [{ a: 1 }, { $dict: [["a", 1]], $class: "Counter" }, { mapping: "loose" }, true],
    [0.3, 0.30000000000000004, {}, false],
    [0.3, 0.30000000000000004, { float: { abs: 1e-9, rel: 0 } }, true],
    [{ $float: "1.0" }, 1, { float: { abs: 1e-9, rel: 0 } }, false],
    ["7", 7, { numbers: "loose" }, false],
    [null, 0, { numbers: "loose" }, false],
    [{ $float: "inf" }, { $float: "inf" }, { float: { abs: 1, rel: 1 } }, true],
    [{ $float: "inf" }, 5, { numbers: "loose", float: { abs: 1, rel: 1 } }, false],
  ])("%j against %j under %j: %j", (a, b, rule, same) => {
    expect(sameValue(decodeValue(a), decodeValue(b), rule)).toBe(same);
  });

  it("compares printed text by lines unless told otherwise", () => {
    expect(sameOutput("1 2 \n3\n\n", "1 2\n3")).toBe(true);
    expect(sameOutput("1 2", "1  2")).toBe(false);
    expect(sameOutput("1 2", "1  2\n", "tokens")).toBe(true);
    expect(sameOutput("1", "1\n", "exact")).toBe(false);
    expect(sameOutput("1\r\n2\r\n", "1\n2")).toBe(true);
  });
});

describe("problem files", () => {
  const good = { io: "call", entry_point: "A().f", cases: [{ args: [1], expected: { $tuple: [1] } }] };
  it.each<[string, object]>([
    ["io", { ...good, io: "web" }],
    ["cases", { ...good, cases: [] }],
    ["cases[0].expected", { ...good, cases: [{ args: [] }] }],
    ["cases[0].args", { ...good, cases: [{ args: 1, expected: 1 }] }],
    ["cases[0].args[0]", { ...good, cases: [{ args: [{ $int: 5 }], expected: 1 }] }],
    ["cases[0].kwargs.k", { ...good, cases: [{ kwargs: { k: { $what: 1 } }, expected: 1 }] }],
    ["entry_point", { ...good, entry_point: "a b" }],
    ["compare.numbers", { ...good, compare: { numbers: "close" } }],
    ["compare.float.abs", { ...good, compare: { float: { abs: -1 } } }],
    ["case", { ...good, case: [] }],
    ["cases[0].input", { io: "stdin", cases: [{ expected: "" }] }],
    ["tests", { io: "tests", tests: "" }],
    ["style", { io: "tests", tests: "assert 1", style: "nose" }],
  ])("names the field %s in one line", (field, problem) => {
    const attempt = () => parseProblem(JSON.stringify(problem), "p.json");
    expect(attempt).toThrow(`p.json: ${field}: `);
    expect(attempt).toThrow(/^[^\n]+$/);
  });

  it("keeps 1.0 apart from 1 and integers of any size", () => {
    const text =
      '{"io":"call","entry_point":"f","cases":[{"args":[1.0,1,123456789012345678901234567890,1e2],"expected":0.1}]}';
    const problem = parseProblem(text, "p.json");
    expect(problem.io === "call" && problem.cases[0]).toEqual({
      args: [{ $float: "1.0" }, 1, { $int: "123456789012345678901234567890" }, { $float: "1e2" }],
      kwargs: {},
      expected: 0.1,
    });
  });
});

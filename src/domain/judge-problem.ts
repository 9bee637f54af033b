/** Reads a problem file of `funprm judge` (contracts.md, rulings 16); a bad one is refused with the field that is wrong. */
import { FunprmError } from "./errors.ts";
import type { CallCase, CompareRule, JsonValue, JudgeProblem, StdinCase } from "./judge.ts";
import { decodeValue, parseExactJson } from "./judge-values.ts";

type Fields = { [key: string]: JsonValue };

/** `where` names the file in error messages. */
export function parseProblem(text: string, where: string): JudgeProblem {
  const fail = (field: string, what: string): never => {
    throw new FunprmError("BAD_INPUT", `${where}: ${field}: ${what}`);
  };
  let json: JsonValue;
  try {
    json = parseExactJson(text);
  } catch {
    return fail("the file", "not JSON; a problem is one object");
  }
  const fields = asFields(json) ?? fail("the file", "a problem is one object");
  switch (fields["io"]) {
    case "call":
      return callProblem(fields, fail);
    case "stdin":
      return stdinProblem(fields, fail);
    case "tests":
      return testsProblem(fields, fail);
    default:
      return fail("io", 'must be "call", "stdin" or "tests"');
  }
}

type Fail = (field: string, what: string) => never;

function asFields(json: JsonValue | undefined): Fields | null {
  return typeof json === "object" && json !== null && !Array.isArray(json) ? json : null;
}

function onlyKnown(fields: Fields, known: string[], fail: Fail, at = ""): void {
  const unknown = Object.keys(fields).find((key) => !known.includes(key));
  if (unknown !== undefined) fail(`${at}${unknown}`, `unknown field; known are ${known.join(", ")}`);
}

function casesOf(fields: Fields, fail: Fail): Fields[] {
  const { cases } = fields;
  if (!Array.isArray(cases) || cases.length === 0) return fail("cases", "must be a list with at least one case");
  return cases.map((one, index) => asFields(one) ?? fail(`cases[${index}]`, "must be an object"));
}

function entryOf(fields: Fields, fail: Fail): string {
  const entry = fields["entry_point"];
  if (typeof entry !== "string" || !/^[A-Za-z_$][\w$]*(\(\))?(\.[A-Za-z_$][\w$]*)*$/.test(entry)) {
    return fail("entry_point", 'must be "name", "Class.method" or "Class().method"');
  }
  return entry;
}

function checked(value: JsonValue, field: string, fail: Fail): JsonValue {
  try {
    decodeValue(value);
  } catch (error) {
    fail(field, (error as Error).message);
  }
  return value;
}

function callProblem(fields: Fields, fail: Fail): JudgeProblem {
  onlyKnown(fields, ["io", "entry_point", "cases", "compare", "setup"], fail);
  const cases = casesOf(fields, fail).map((one, index): CallCase => {
    const at = `cases[${index}].`;
    onlyKnown(one, ["args", "kwargs", "expected", "compare"], fail, at);
    const args = one["args"] ?? [];
    if (!Array.isArray(args)) return fail(`${at}args`, "must be a list");
    const kwargs = asFields(one["kwargs"] ?? {}) ?? fail(`${at}kwargs`, "must be an object");
    if (one["expected"] === undefined) return fail(`${at}expected`, "is missing");
    args.forEach((value, position) => {
      checked(value, `${at}args[${position}]`, fail);
    });
    for (const [name, value] of Object.entries(kwargs)) checked(value, `${at}kwargs.${name}`, fail);
    const expected = checked(one["expected"], `${at}expected`, fail);
    return { args, kwargs, expected, ...compareOf(one, fail, at) };
  });
  const setup = textOf(fields, "setup", fail);
  const entry_point = entryOf(fields, fail);
  return { io: "call", entry_point, cases, ...compareOf(fields, fail), ...(setup === undefined ? {} : { setup }) };
}

function stdinProblem(fields: Fields, fail: Fail): JudgeProblem {
  onlyKnown(fields, ["io", "cases", "compare"], fail);
  const cases = casesOf(fields, fail).map((one, index): StdinCase => {
    const at = `cases[${index}].`;
    onlyKnown(one, ["input", "expected"], fail, at);
    const { input, expected } = one;
    if (typeof input !== "string") return fail(`${at}input`, "must be text");
    if (typeof expected !== "string") return fail(`${at}expected`, "must be text");
    return { input, expected };
  });
  return { io: "stdin", cases, ...compareOf(fields, fail) };
}

const STYLES = ["check", "asserts", "unittest", "pytest"] as const;

function testsProblem(fields: Fields, fail: Fail): JudgeProblem {
  onlyKnown(fields, ["io", "entry_point", "tests", "style", "module", "setup"], fail);
  const { tests } = fields;
  if (typeof tests !== "string" || tests.trim() === "") return fail("tests", "must be source text");
  const style = STYLES.find((known) => known === fields["style"]);
  if (fields["style"] !== undefined && style === undefined) fail("style", `must be one of ${STYLES.join(", ")}`);
  const module = textOf(fields, "module", fail);
  const setup = textOf(fields, "setup", fail);
  return {
    io: "tests",
    entry_point: (fields["entry_point"] ?? null) === null ? null : entryOf(fields, fail),
    tests,
    ...(style === undefined ? {} : { style }),
    ...(module === undefined ? {} : { module }),
    ...(setup === undefined ? {} : { setup }),
  };
}

function textOf(fields: Fields, name: string, fail: Fail): string | undefined {
  const value = fields[name];
  if (value !== undefined && typeof value !== "string") return fail(name, "must be text");
  return value;
}

const CHOICES: Record<string, string[]> = {
  sequence: ["strict", "loose"],
  numbers: ["strict", "loose"],
  mapping: ["strict", "loose"],
  stdout: ["exact", "lines", "tokens"],
};

function compareOf(fields: Fields, fail: Fail, at = ""): { compare?: CompareRule } {
  if (fields["compare"] === undefined) return {};
  const given = asFields(fields["compare"]) ?? fail(`${at}compare`, "must be an object");
  onlyKnown(given, [...Object.keys(CHOICES), "float"], fail, `${at}compare.`);
  for (const [name, choices] of Object.entries(CHOICES)) {
    const value = given[name];
    if (value !== undefined && !(typeof value === "string" && choices.includes(value))) {
      fail(`${at}compare.${name}`, `must be one of ${choices.join(", ")}`);
    }
  }
  if (given["float"] === undefined) return { compare: given as CompareRule };
  const float = asFields(given["float"]) ?? fail(`${at}compare.float`, 'must be {"abs": number, "rel": number}');
  const number = (name: string): number => {
    const value = decodeTolerance(float[name]);
    return value === null ? fail(`${at}compare.float.${name}`, "must be a number from 0 up") : value;
  };
  return { compare: { ...(given as CompareRule), float: { abs: number("abs"), rel: number("rel") } } };
}

/** 0.0 stands as {"$float":"0.0"} in exactly read JSON. */
function decodeTolerance(value: JsonValue | undefined): number | null {
  if (value === undefined) return 0;
  const fields = asFields(value);
  const number = fields ? Number(fields["$float"]) : value;
  return typeof number === "number" && number >= 0 && Number.isFinite(number) ? number : null;
}

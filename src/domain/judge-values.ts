/**
 * Values as the judge compares them (rulings 16). Problem files and answers hold JSON text; the text keeps what JavaScript
 * numbers lose: 1 is not 1.0, and integers have any size. Encoding into the sandbox happens here, comparing too: expected
 * values never leave this side.
 */
import { FunprmError } from "./errors.ts";
import type { CompareRule, JsonValue } from "./judge.ts";

export type Value =
  | { kind: "none" }
  | { kind: "bool"; value: boolean }
  | { kind: "int"; value: bigint }
  | { kind: "float"; value: number }
  | { kind: "str"; value: string }
  | { kind: "bytes"; value: string }
  | { kind: "list" | "tuple" | "set" | "frozenset"; items: Value[] }
  /** `of` names a dict class of Python's collections module; it equals a dict only under `mapping: "loose"`. */
  | { kind: "dict"; entries: [Value, Value][]; of: string | null }
  /** Only in expected values: the call must raise this class or one derived from it. */
  | { kind: "raises"; error: string };

const DEEPEST = 400;

/** JSON text → JsonValue that keeps number forms: 1.0 → {"$float":"1.0"}, integers beyond 2^53 → {"$int":"…"}. */
export function parseExactJson(text: string): JsonValue {
  const reviver = (_key: string, value: unknown, context?: { source?: string }): unknown => {
    if (typeof value !== "number" || context?.source === undefined) return value;
    if (/[.eE]/.test(context.source)) {
      return Number.isInteger(value) ? { $float: Object.is(value, -0) ? "-0.0" : context.source } : value;
    }
    return Number.isSafeInteger(value) ? value : { $int: context.source };
  };
  return JSON.parse(text, reviver as (key: string, value: unknown) => unknown) as JsonValue;
}

/** Reads a value form. A JavaScript number with a fraction is a float, any other an int. Throws BAD_INPUT. */
export function decodeValue(json: JsonValue, depth = 0): Value {
  if (depth > DEEPEST) throw bad(`nested more than ${DEEPEST} deep`);
  if (json === null) return { kind: "none" };
  if (typeof json === "boolean") return { kind: "bool", value: json };
  if (typeof json === "string") return { kind: "str", value: json };
  if (typeof json === "number") return decodeNumber(json);
  if (Array.isArray(json)) return { kind: "list", items: json.map((item) => decodeValue(item, depth + 1)) };
  const keys = Object.keys(json);
  if (keys.length === 0 || !keys[0]!.startsWith("$")) {
    const entries = keys.map((key): [Value, Value] => [
      { kind: "str", value: key },
      decodeValue(json[key]!, depth + 1),
    ]);
    return { kind: "dict", entries, of: null };
  }
  return decodeForm(keys, json, depth);
}

function decodeNumber(json: number): Value {
  if (!Number.isFinite(json)) throw bad('not a finite number; write {"$float":"nan"}');
  if (!Number.isInteger(json)) return { kind: "float", value: json };
  if (!Number.isSafeInteger(json)) throw bad('an integer beyond 2^53 lost digits; write {"$int":"…"}');
  return { kind: "int", value: BigInt(json) };
}

function decodeForm(keys: string[], json: { [key: string]: JsonValue }, depth: number): Value {
  const key = keys[0]!;
  const content = json[key]!;
  const of = json["$class"];
  if (keys.length > (key === "$dict" && typeof of === "string" ? 2 : 1)) {
    throw bad(`${key} stands beside other keys; write objects with such keys as {"$dict":[[key,value]]}`);
  }
  switch (key) {
    case "$tuple":
    case "$set":
    case "$frozenset":
      if (!Array.isArray(content)) throw bad(`${key} must hold a list`);
      return {
        kind: key.slice(1) as "tuple" | "set" | "frozenset",
        items: content.map((item) => decodeValue(item, depth + 1)),
      };
    case "$bytes":
      if (typeof content !== "string" || !/^[A-Za-z0-9+/]*={0,2}$/.test(content)) throw bad("$bytes must hold base64");
      return { kind: "bytes", value: Buffer.from(content, "base64").toString("base64") };
    case "$float": {
      const special: Record<string, number> = {
        nan: Number.NaN,
        inf: Number.POSITIVE_INFINITY,
        "-inf": Number.NEGATIVE_INFINITY,
      };
      if (typeof content !== "string") throw bad('$float must hold "nan", "inf", "-inf" or a decimal');
      if (content in special) return { kind: "float", value: special[content]! };
      if (!/^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(content))
        throw bad('$float must hold "nan", "inf", "-inf" or a decimal');
      return { kind: "float", value: Number(content) };
    }
    case "$int":
      if (typeof content !== "string" || !/^-?\d+$/.test(content)) throw bad("$int must hold digits");
      return { kind: "int", value: BigInt(content) };
    case "$dict":
      if (!Array.isArray(content)) throw bad("$dict must hold [key, value] pairs");
      return {
        kind: "dict",
        entries: content.map((pair): [Value, Value] => {
          if (!Array.isArray(pair) || pair.length !== 2) throw bad("$dict must hold [key, value] pairs");
          return [decodeValue(pair[0]!, depth + 1), decodeValue(pair[1]!, depth + 1)];
        }),
        of: typeof of === "string" ? of : null,
      };
    case "$raises":
      if (typeof content !== "string" || depth > 0)
        throw bad("$raises must hold a class name, as the whole expected value");
      return { kind: "raises", error: content };
    default:
      throw bad(`${key} is no value form; use $tuple $set $frozenset $bytes $float $int $dict or $raises`);
  }
}

const bad = (what: string) => new FunprmError("BAD_INPUT", what);

// ---------------------------------------------------------------- into the sandbox

/** Python source of the value, ASCII, one line: the driver evaluates it without names. Integers as hex have no size limit. */
export function toPythonLiteral(value: Value): string {
  switch (value.kind) {
    case "none":
      return "None";
    case "bool":
      return value.value ? "True" : "False";
    case "int":
      return value.value < 0n ? `(-0x${(-value.value).toString(16)})` : `0x${value.value.toString(16)}`;
    case "float":
      if (Number.isNaN(value.value)) return "nan";
      if (!Number.isFinite(value.value)) return value.value > 0 ? "inf" : "(-inf)";
      return `(${Object.is(value.value, -0) ? "-0.0" : pythonFloat(value.value)})`;
    case "str":
      return pythonString(value.value);
    case "bytes":
      return `b"${[...Buffer.from(value.value, "base64")].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}"`;
    case "list":
      return `[${value.items.map(toPythonLiteral).join(",")}]`;
    case "tuple":
      return `(${value.items.map((item) => `${toPythonLiteral(item)},`).join("")})`;
    case "set":
      return value.items.length === 0 ? "set()" : `{${value.items.map(toPythonLiteral).join(",")}}`;
    case "frozenset":
      return `frozenset([${value.items.map(toPythonLiteral).join(",")}])`;
    case "dict":
      return `{${value.entries.map(([key, item]) => `${toPythonLiteral(key)}:${toPythonLiteral(item)}`).join(",")}}`;
    case "raises":
      throw bad("$raises is no input");
  }
}

function pythonFloat(value: number): string {
  const text = String(value);
  return /[.e]/.test(text) ? text : `${text}.0`;
}

export function pythonString(text: string): string {
  let out = '"';
  for (let index = 0; index < text.length; index++) {
    const code = text.codePointAt(index)!;
    if (code > 0xffff) index += 1;
    if (code > 0xffff) out += `\\U${code.toString(16).padStart(8, "0")}`;
    else if (code > 0x7e || code < 0x20) out += `\\u${code.toString(16).padStart(4, "0")}`;
    else out += code === 0x22 || code === 0x5c ? `\\${text[index]}` : text[index];
  }
  return `${out}"`;
}

/** JSON text of the value forms: for the JavaScript driver, and as the encoded output of `Judge.run`. */
export function toJsonText(value: Value): string {
  const list = (items: Value[]) => `[${items.map(toJsonText).join(",")}]`;
  switch (value.kind) {
    case "none":
      return "null";
    case "bool":
      return String(value.value);
    case "int":
      return value.value > -(2n ** 53n) && value.value < 2n ** 53n ? String(value.value) : `{"$int":"${value.value}"}`;
    case "float":
      if (Number.isNaN(value.value)) return '{"$float":"nan"}';
      if (!Number.isFinite(value.value)) return `{"$float":"${value.value > 0 ? "inf" : "-inf"}"}`;
      return Object.is(value.value, -0) ? "-0.0" : pythonFloat(value.value);
    case "str":
      return JSON.stringify(value.value);
    case "bytes":
      return `{"$bytes":"${value.value}"}`;
    case "list":
      return list(value.items);
    case "tuple":
      return `{"$tuple":${list(value.items)}}`;
    case "set":
    case "frozenset":
      return `{"$${value.kind}":[${value.items.map(toJsonText).sort().join(",")}]}`;
    case "dict":
      if (value.of === null && value.entries.every(([key]) => key.kind === "str" && !key.value.startsWith("$"))) {
        return `{${value.entries.map(([key, item]) => `${toJsonText(key)}:${toJsonText(item)}`).join(",")}}`;
      }
      return `{"$dict":[${value.entries.map((pair) => list(pair)).join(",")}]${value.of === null ? "" : `,"$class":${JSON.stringify(value.of)}`}}`;
    case "raises":
      return `{"$raises":${JSON.stringify(value.error)}}`;
  }
}

// ---------------------------------------------------------------- comparing

/**
 * Strict unless the problem says otherwise: list ≠ tuple, 1 ≠ 1.0 ≠ true, NaN equals nothing. `numbers: "loose"` is Python's
 * `==` among bool, int and float; `float` allows |a − b| ≤ max(abs, rel·|expected|) where either side is a float.
 */
export function sameValue(expected: Value, answer: Value, rule: CompareRule): boolean {
  if (isNumber(expected) && isNumber(answer)) return sameNumber(expected, answer, rule);
  if (isSequence(expected) && isSequence(answer)) {
    if (expected.kind !== answer.kind && rule.sequence !== "loose") return false;
    if (expected.items.length !== answer.items.length) return false;
    return expected.items.every((item, index) => sameValue(item, answer.items[index]!, rule));
  }
  if (isSet(expected) && isSet(answer)) {
    if (expected.kind !== answer.kind && rule.sequence !== "loose") return false;
    return sameUnordered(expected.items, answer.items, (a, b) => sameValue(a, b, rule), rule);
  }
  if (expected.kind !== answer.kind) return false;
  switch (expected.kind) {
    case "none":
      return true;
    case "str":
    case "bytes":
      return expected.value === (answer as { value: string }).value;
    case "dict": {
      const other = answer as Value & { kind: "dict" };
      if (expected.of !== other.of && rule.mapping !== "loose") return false;
      return sameUnordered(
        expected.entries,
        other.entries,
        ([keyA, a], [keyB, b]) => sameValue(keyA, keyB, rule) && sameValue(a, b, rule),
        rule,
        ([key]) => key,
      );
    }
    default:
      return false;
  }
}

type NumberValue = Value & { kind: "bool" | "int" | "float" };
type Sequence = Value & { kind: "list" | "tuple" };
type SetValue = Value & { kind: "set" | "frozenset" };
const isNumber = (value: Value): value is NumberValue =>
  value.kind === "bool" || value.kind === "int" || value.kind === "float";
const isSequence = (value: Value): value is Sequence => value.kind === "list" || value.kind === "tuple";
const isSet = (value: Value): value is SetValue => value.kind === "set" || value.kind === "frozenset";

function sameNumber(expected: NumberValue, answer: NumberValue, rule: CompareRule): boolean {
  if (expected.kind !== answer.kind && rule.numbers !== "loose") return false;
  if (expected.kind === "bool" && answer.kind === "bool") return expected.value === answer.value;
  if (expected.kind === "float" || answer.kind === "float") {
    const a = Number(expected.value);
    const b = Number(answer.value);
    if (Number.isNaN(a) || Number.isNaN(b)) return false;
    if (exactlyEqual(expected, answer)) return true;
    if (rule.float === undefined || !Number.isFinite(a) || !Number.isFinite(b)) return false;
    return Math.abs(a - b) <= Math.max(rule.float.abs, rule.float.rel * Math.abs(a));
  }
  return BigInt(expected.value) === BigInt(answer.value);
}

/** Python compares an int with a float exactly, not after rounding the int. */
function exactlyEqual(a: NumberValue, b: NumberValue): boolean {
  if (a.kind === "float" && b.kind === "float") return a.value === b.value;
  const [float, other] = a.kind === "float" ? [a.value, b.value] : [b.value as number, a.value];
  return Number.isInteger(float) && BigInt(float) === BigInt(other as boolean | bigint);
}

/** Each item of one side matched with one of the other. By key in linear time; with a tolerance, pair by pair. */
function sameUnordered<T>(
  expected: T[],
  answer: T[],
  same: (a: T, b: T) => boolean,
  rule: CompareRule,
  keyOf: (item: T) => Value = (item) => item as Value,
): boolean {
  if (expected.length !== answer.length) return false;
  if (rule.float === undefined) {
    const byKey = new Map(answer.map((item) => [lookupKey(keyOf(item), rule), item]));
    if (byKey.size !== answer.length) return false;
    return expected.every((item) => {
      const match = byKey.get(lookupKey(keyOf(item), rule));
      return match !== undefined && same(item, match);
    });
  }
  const left = [...answer];
  return expected.every((item) => {
    const index = left.findIndex((other) => same(item, other));
    if (index >= 0) left.splice(index, 1);
    return index >= 0;
  });
}

/** Equal for equal members of a set under the rule. */
function lookupKey(value: Value, rule: CompareRule): string {
  const loose = rule.numbers === "loose";
  switch (value.kind) {
    case "bool":
      return loose ? `i${value.value ? 1 : 0}` : `b${value.value}`;
    case "int":
      return `i${value.value}`;
    case "float":
      if (Number.isInteger(value.value)) return `${loose ? "i" : "f"}${BigInt(value.value)}`;
      return `f${value.value}`;
    case "list":
    case "tuple":
      return `${rule.sequence === "loose" ? "s" : value.kind}[${value.items.map((item) => lookupKey(item, rule)).join(",")}]`;
    case "set":
    case "frozenset":
      return `${rule.sequence === "loose" ? "set" : value.kind}[${value.items
        .map((item) => lookupKey(item, rule))
        .sort()
        .join(",")}]`;
    case "dict":
      return `d[${value.entries
        .map(([key, item]) => `${lookupKey(key, rule)}:${lookupKey(item, rule)}`)
        .sort()
        .join(",")}]`;
    case "none":
      return "n";
    default:
      return `${value.kind}${JSON.stringify("value" in value ? value.value : "")}`;
  }
}

/** `lines` (default): equal after stripping trailing blanks and trailing empty lines. `tokens`: split on white space. */
export function sameOutput(expected: string, answer: string, how: "exact" | "lines" | "tokens" = "lines"): boolean {
  if (how === "exact") return expected === answer;
  if (how === "tokens")
    return expected.split(/\s+/).filter(Boolean).join(" ") === answer.split(/\s+/).filter(Boolean).join(" ");
  return strippedLines(expected) === strippedLines(answer);
}

function strippedLines(text: string): string {
  const lines = text.split("\n").map((line) => line.trimEnd());
  while (lines.length > 0 && lines.at(-1) === "") lines.pop();
  return lines.join("\n");
}

/** Request lines of the drivers. Python gets one Python literal a line, JavaScript one JSON text a line. */
import type { JsonValue } from "../../domain/judge.ts";
import { decodeValue, pythonString, toJsonText, toPythonLiteral } from "../../domain/judge-values.ts";

type Language = "python" | "javascript";

export type Options = {
  setup?: string;
  module?: string;
  entry?: string | null;
  tests?: string;
  style?: string;
};

export function loadLine(language: Language, nonce: string, options: Options): string {
  const given = Object.entries(options).filter((pair): pair is [string, string] => typeof pair[1] === "string");
  if (language === "javascript") return JSON.stringify({ kind: "load", nonce, ...Object.fromEntries(given) });
  const fields = given.map(([name, text]) => `"${name}":${pythonString(text)}`).join(",");
  return `("load","${nonce}",{${fields}})`;
}

type Call = { args: JsonValue[]; kwargs: Record<string, JsonValue> };

/** What Python's driver evaluates for one call: a literal of entry, arguments and keyword arguments. */
export function pythonCall(entry: string[], test: Call): string {
  const args = test.args.map((value) => toPythonLiteral(decodeValue(value)));
  const kwargs = Object.entries(test.kwargs).map(
    ([name, value]) => `${pythonString(name)}:${toPythonLiteral(decodeValue(value))}`,
  );
  return `([${entry.map(pythonString).join(",")}],[${args.join(",")}],{${kwargs.join(",")}})`;
}

/** Calls that one fork may answer, one after the other. */
export function pythonCallsLine(calls: readonly string[]): (nonce: string) => string {
  return (nonce) => `("calls","${nonce}",${calls.length})\n${calls.join("\n")}`;
}

export function javascriptCallLine(entry: string[], test: Call): (nonce: string) => string {
  // Keyword arguments have no counterpart: their values follow the positional ones in order.
  const values = [...test.args, ...Object.values(test.kwargs)].map((value) => toJsonText(decodeValue(value)));
  return (nonce) => `{"kind":"call","nonce":"${nonce}","entry":${JSON.stringify(entry)},"args":[${values.join(",")}]}`;
}

export function stdinLine(language: Language, input: string): (nonce: string) => string {
  if (language === "javascript") return (nonce) => JSON.stringify({ kind: "stdin", nonce, input });
  const text = pythonString(input);
  return (nonce) => `("stdin","${nonce}",${text})`;
}

export function testLine(style: string, id: string): (nonce: string) => string {
  return (nonce) => `("test","${nonce}",${pythonString(style)},${pythonString(id)})`;
}

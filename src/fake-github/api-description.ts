/** Routing and checking by the committed slice of GitHub's API description (scripts/slice-openapi.mjs). */
import { readFileSync } from "node:fs";
import { Ajv, type ErrorObject, type ValidateFunction } from "ajv";
import addFormatsModule from "ajv-formats";

type Parameter = { name: string; in: "path" | "query" | "header"; required?: true; schema: Record<string, unknown> };
type Described = {
  id: string;
  parameters: Parameter[];
  body?: Record<string, unknown>;
  responses: Record<string, Record<string, unknown> | null>;
};
type Slice = {
  source: string;
  operations: Record<string, Described>;
  webhooks: Record<string, unknown>;
  schemas: Record<string, unknown>;
};

export type Operation = {
  id: string;
  method: string;
  path: string;
  pattern: RegExp;
  literals: number;
  described: Described;
};

/** Parameters that hold slashes; GitHub takes them both encoded and plain. */
const MULTI_SEGMENT = new Set(["path", "ref", "branch"]);

const slice = JSON.parse(readFileSync(new URL("api/openapi-slice.json", import.meta.url), "utf8")) as Slice;
// ajv-formats is CommonJS: under Node its function is the module's default export's default.
const addFormats = addFormatsModule as unknown as typeof addFormatsModule.default;
const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: true });
addFormats(ajv);
ajv.addFormat("repo.nwo", true);
ajv.addSchema({ $id: "github", schemas: slice.schemas });
const coercing = new Ajv({ strict: false, allErrors: true, coerceTypes: true });
addFormats(coercing);
const compiled = new Map<string, ValidateFunction>();

export const OPERATIONS: readonly Operation[] = Object.entries(slice.operations)
  .map(([key, described]) => {
    const [method, path] = key.split(" ") as [string, string];
    const source = path.replace(/\{(\w+)\}/g, (_, name: string) =>
      MULTI_SEGMENT.has(name) ? `(?<${name}>.+)` : `(?<${name}>[^/]+)`,
    );
    return {
      id: described.id,
      method: method.toUpperCase(),
      path,
      pattern: new RegExp(`^${source}$`),
      literals: path.replace(/\{\w+\}/g, "").length,
      described,
    };
  })
  .sort((a, b) => b.literals - a.literals);

export const WEBHOOK_NAMES: readonly string[] = Object.keys(slice.webhooks);

/** The operation that a request asks for; null when the description knows none. */
export function findOperation(
  method: string,
  path: string,
): { operation: Operation; params: Record<string, string> } | null {
  for (const operation of OPERATIONS) {
    if (operation.method !== method) continue;
    const match = operation.pattern.exec(path);
    if (match === null) continue;
    const params = Object.fromEntries(
      Object.entries(match.groups ?? {}).map(([name, value]) => [name, decodeURIComponent(value)]),
    );
    if (!numbersAreNumbers(operation, params)) continue;
    return { operation, params };
  }
  return null;
}

function numbersAreNumbers(operation: Operation, params: Record<string, string>): boolean {
  return operation.described.parameters.every(
    (p) => p.in !== "path" || p.schema["type"] !== "integer" || /^\d+$/.test(params[p.name] ?? ""),
  );
}

/** Complaints about the query; integers in it are checked as numbers. */
export function checkQuery(operation: Operation, query: URLSearchParams): string[] {
  const known = operation.described.parameters.filter((p) => p.in === "query");
  const values = Object.fromEntries(query);
  const complaints = Object.keys(values)
    .filter((name) => !known.some((p) => p.name === name))
    .map((name) => `unknown query parameter "${name}"`);
  for (const parameter of known) {
    const value = values[parameter.name];
    if (value === undefined) {
      if (parameter.required) complaints.push(`query parameter "${parameter.name}" is missing`);
      continue;
    }
    const check = validator(
      `query ${operation.id} ${parameter.name}`,
      { type: "object", properties: { value: parameter.schema } },
      coercing,
    );
    if (!hasReference(parameter.schema) && !check({ value }))
      complaints.push(...explain(check.errors).map((c) => `query parameter "${parameter.name}": ${c}`));
  }
  return complaints;
}

function hasReference(schema: unknown): boolean {
  return JSON.stringify(schema).includes('"$ref"');
}

/** Complaints about a request body: unknown fields, missing ones, wrong types. */
export function checkBody(operation: Operation, body: unknown): string[] {
  const schema = operation.described.body;
  if (schema === undefined) return body === undefined ? [] : ["this operation takes no body"];
  const check = validator(`body ${operation.id}`, schema);
  return check(body ?? {}) ? [] : explain(check.errors);
}

/** Complaints about one of our own replies: every field that the description requires must be there. */
export function checkReply(operation: Operation, status: number, body: unknown): string[] {
  const responses = operation.described.responses;
  if (!(String(status) in responses))
    return status >= 400 || (status >= 301 && status < 400) ? [] : [`status ${status} is not described`];
  const schema = responses[String(status)];
  if (schema === null || schema === undefined) return [];
  const check = validator(`reply ${operation.id} ${status}`, schema);
  return check(body) ? [] : explain(check.errors);
}

export function checkWebhook(name: string, payload: unknown): string[] {
  const schema = slice.webhooks[name];
  if (schema === undefined) return [`no schema for webhook ${name}`];
  const check = validator(`webhook ${name}`, schema as Record<string, unknown>);
  return check(payload) ? [] : explain(check.errors);
}

function validator(key: string, schema: Record<string, unknown>, using: Ajv = ajv): ValidateFunction {
  const known = compiled.get(key);
  if (known !== undefined) return known;
  const text = JSON.stringify(schema).replaceAll('"$ref":"#/schemas/', '"$ref":"github#/schemas/');
  const made = using.compile(JSON.parse(text) as Record<string, unknown>);
  compiled.set(key, made);
  return made;
}

function explain(errors: ErrorObject[] | null | undefined): string[] {
  return (errors ?? []).slice(0, 8).map((error) => {
    const extra = error.keyword === "additionalProperties" ? ` "${String(error.params["additionalProperty"])}"` : "";
    return `${error.instancePath === "" ? "body" : error.instancePath.slice(1).replaceAll("/", ".")} ${error.message ?? error.keyword}${extra}`;
  });
}

/**
 * Makes src/fake-github/api/openapi-slice.json: the operations and webhooks in use, cut from GitHub's own API description
 * (npm package @octokit/openapi, 385 MB, installed into a temporary folder and never a dependency) and turned into JSON
 * Schema. Request bodies get `additionalProperties: false`, so that a misspelt field is refused; GitHub itself would
 * silently drop it.
 *
 *   node scripts/slice-openapi.mjs [FOLDER]   writes the slice; FOLDER holds an installed @octokit/openapi already
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PACKAGE = "@octokit/openapi";
const VERSION = "23.0.2";
const OUT = new URL("../src/fake-github/api/openapi-slice.json", import.meta.url);

const REPO = "/repos/{owner}/{repo}";
const OPERATIONS = [
  "get /app",
  "get /app/installations",
  "get /app/installations/{installation_id}",
  "post /app/installations/{installation_id}/access_tokens",
  "get /app/hook/config",
  "get /app/hook/deliveries",
  "get /app/hook/deliveries/{delivery_id}",
  "post /app/hook/deliveries/{delivery_id}/attempts",
  "get /installation/repositories",
  "delete /installation/token",
  "get /rate_limit",
  "get /users/{username}",
  `get ${REPO}`,
  `get ${REPO}/installation`,
  `get ${REPO}/contents/{path}`,
  `get ${REPO}/branches`,
  `get ${REPO}/branches/{branch}`,
  `get ${REPO}/rules/branches/{branch}`,
  `get ${REPO}/collaborators/{username}/permission`,
  `get ${REPO}/commits`,
  `get ${REPO}/commits/{ref}`,
  `get ${REPO}/commits/{ref}/check-runs`,
  `get ${REPO}/commits/{commit_sha}/pulls`,
  `get ${REPO}/git/ref/{ref}`,
  `get ${REPO}/git/matching-refs/{ref}`,
  `post ${REPO}/git/refs`,
  `patch ${REPO}/git/refs/{ref}`,
  `delete ${REPO}/git/refs/{ref}`,
  `post ${REPO}/git/blobs`,
  `get ${REPO}/git/blobs/{file_sha}`,
  `post ${REPO}/git/trees`,
  `get ${REPO}/git/trees/{tree_sha}`,
  `post ${REPO}/git/commits`,
  `get ${REPO}/git/commits/{commit_sha}`,
  `get ${REPO}/labels`,
  `post ${REPO}/labels`,
  `get ${REPO}/labels/{name}`,
  `get ${REPO}/issues`,
  `post ${REPO}/issues`,
  `get ${REPO}/issues/{issue_number}`,
  `patch ${REPO}/issues/{issue_number}`,
  `get ${REPO}/issues/{issue_number}/labels`,
  `post ${REPO}/issues/{issue_number}/labels`,
  `put ${REPO}/issues/{issue_number}/labels`,
  `delete ${REPO}/issues/{issue_number}/labels/{name}`,
  `get ${REPO}/issues/{issue_number}/comments`,
  `post ${REPO}/issues/{issue_number}/comments`,
  `get ${REPO}/issues/comments/{comment_id}`,
  `patch ${REPO}/issues/comments/{comment_id}`,
  `delete ${REPO}/issues/comments/{comment_id}`,
  `get ${REPO}/issues/{issue_number}/reactions`,
  `post ${REPO}/issues/{issue_number}/reactions`,
  `delete ${REPO}/issues/{issue_number}/reactions/{reaction_id}`,
  `get ${REPO}/issues/comments/{comment_id}/reactions`,
  `post ${REPO}/issues/comments/{comment_id}/reactions`,
  `delete ${REPO}/issues/comments/{comment_id}/reactions/{reaction_id}`,
  `get ${REPO}/pulls`,
  `post ${REPO}/pulls`,
  `get ${REPO}/pulls/{pull_number}`,
  `patch ${REPO}/pulls/{pull_number}`,
  `get ${REPO}/pulls/{pull_number}/files`,
  `get ${REPO}/pulls/{pull_number}/commits`,
  `get ${REPO}/pulls/{pull_number}/reviews`,
  `post ${REPO}/pulls/{pull_number}/reviews`,
  `get ${REPO}/pulls/{pull_number}/reviews/{review_id}/comments`,
  `get ${REPO}/pulls/{pull_number}/comments`,
  `post ${REPO}/pulls/{pull_number}/comments`,
  `get ${REPO}/pulls/comments/{comment_id}/reactions`,
  `get ${REPO}/pulls/{pull_number}/requested_reviewers`,
  `post ${REPO}/pulls/{pull_number}/requested_reviewers`,
  `post ${REPO}/check-runs`,
  `get ${REPO}/check-runs/{check_run_id}`,
  `patch ${REPO}/check-runs/{check_run_id}`,
  `get ${REPO}/check-runs/{check_run_id}/annotations`,
  `get ${REPO}/actions/runs`,
  `get ${REPO}/actions/runs/{run_id}/attempts/{attempt_number}`,
  `get ${REPO}/actions/runs/{run_id}/artifacts`,
  `get ${REPO}/actions/artifacts/{artifact_id}/{archive_format}`,
];
const WEBHOOKS = [
  "installation-created",
  "issues-opened",
  "issues-edited",
  "issues-closed",
  "issues-reopened",
  "issues-labeled",
  "issues-unlabeled",
  "issue-comment-created",
  "issue-comment-edited",
  "pull-request-opened",
  "pull-request-edited",
  "pull-request-closed",
  "pull-request-reopened",
  "pull-request-synchronize",
  "pull-request-labeled",
  "pull-request-unlabeled",
  "pull-request-review-requested",
  "pull-request-ready-for-review",
  "pull-request-review-submitted",
  "pull-request-review-comment-created",
  "check-run-created",
  "check-run-completed",
  "check-run-requested-action",
  "check-run-rerequested",
  "push",
  "repository-deleted",
  "workflow-run-completed",
];
/** Words about a schema, and formats that ajv does not know; nothing that a checker needs. */
const NOISE = new Set([
  "description",
  "example",
  "examples",
  "title",
  "default",
  "externalDocs",
  "deprecated",
  "x-github",
  "x-multi-segment",
  "readOnly",
  "discriminator",
  "contentMediaType",
]);

const folder = mkdtempSync(join(tmpdir(), "funprm-openapi-"));
const description = readDescription();
const schemas = {};
const webhookSchemas = {};
const operations = Object.fromEntries(OPERATIONS.map((key) => [key, operation(key)]));
for (const name of WEBHOOKS) {
  const [, reference] = Object.values(description["x-webhooks"][name].post.requestBody.content)[0].schema.$ref.match(
    /#\/components\/schemas\/(.+)/,
  );
  keep(reference);
  webhookSchemas[name] = { $ref: `#/schemas/${reference}` };
}
// The description calls these integers; GitHub answers null once a push has outdated the comment, or for a whole file.
for (const name of ["position", "line"]) {
  schemas["pull-request-review-comment"].properties[name].type = ["integer", "null"];
}
const text = JSON.stringify({
  source: `${PACKAGE}@${VERSION}`,
  ...shared({ operations, webhooks: webhookSchemas, schemas }),
});
writeFileSync(OUT, `${text}\n`);
console.error(
  `${OUT.pathname}: ${OPERATIONS.length} operations, ${WEBHOOKS.length} webhooks, ${Object.keys(schemas).length} schemas, ${Math.round(text.length / 1024)} KB`,
);

function readDescription() {
  try {
    const where = process.argv[2] ?? folder;
    if (where === folder) {
      execFileSync(
        "npm",
        ["install", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund", `${PACKAGE}@${VERSION}`],
        { stdio: ["ignore", "ignore", "inherit"] },
      );
    }
    return JSON.parse(readFileSync(join(where, "node_modules", PACKAGE, "generated/api.github.com.json"), "utf8"));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function operation(key) {
  const [method, path] = key.split(" ");
  const item = description.paths[path];
  if (item?.[method] === undefined) throw new Error(`${PACKAGE}@${VERSION} describes no ${key}`);
  const source = item[method];
  const parameters = [...(item.parameters ?? []), ...(source.parameters ?? [])]
    .map((p) => deref(p))
    .map((p) => ({ name: p.name, in: p.in, ...(p.required ? { required: true } : {}), schema: convert(p.schema) }));
  const body = source.requestBody && deref(source.requestBody).content?.["application/json"]?.schema;
  const responses = {};
  for (const [status, response] of Object.entries(source.responses)) {
    const content = deref(response).content ?? {};
    const json = content["application/json"] ?? content["application/vnd.github.object"] ?? null;
    responses[status] = json === null ? null : convert(json.schema);
  }
  return { id: source.operationId, parameters, ...(body ? { body: close(convert(body)) } : {}), responses };
}

/** A request body allows no field that the description does not name. */
function close(schema) {
  if (schema.$ref !== undefined) return close(structuredClone(schemas[schema.$ref.slice("#/schemas/".length)]));
  const closed = { ...schema };
  for (const key of ["anyOf", "oneOf", "allOf"])
    if (closed[key] !== undefined)
      closed[key] = closed[key].map((s) => (key === "allOf" ? s : s.properties && !schema.properties ? close(s) : s));
  if (closed.properties !== undefined) {
    closed.additionalProperties = false;
    closed.properties = Object.fromEntries(
      Object.entries(closed.properties).map(([name, s]) => [name, closeNested(s)]),
    );
  }
  return closed;
}

function closeNested(schema) {
  if (schema.properties !== undefined) return close(schema);
  if (schema.items !== undefined) return { ...schema, items: closeNested(schema.items) };
  return schema;
}

function deref(node) {
  if (node.$ref === undefined) return node;
  return node.$ref
    .split("/")
    .slice(1)
    .reduce((at, key) => at[key], description);
}

function keep(name) {
  if (name in schemas) return;
  schemas[name] = null;
  schemas[name] = convert(description.components.schemas[name]);
}

/** OpenAPI 3.0 schema to JSON Schema: `nullable` becomes a type, words are dropped, references are kept by name. */
function convert(node) {
  if (Array.isArray(node)) return node.map(convert);
  if (node === null || typeof node !== "object") return node;
  if (node.$ref !== undefined) {
    const name = node.$ref.slice("#/components/schemas/".length);
    keep(name);
    return { $ref: `#/schemas/${name}` };
  }
  const out = {};
  for (const [key, value] of Object.entries(node)) {
    if (NOISE.has(key) || key === "nullable") continue;
    if (key === "properties")
      out.properties = Object.fromEntries(Object.entries(value).map(([name, s]) => [name, convert(s)]));
    else if (key === "enum" || key === "required") out[key] = value;
    else out[key] = convert(value);
  }
  if (node.nullable !== true) return out;
  if (out.enum !== undefined && !out.enum.includes(null)) out.enum = [...out.enum, null];
  if (typeof out.type === "string") return { ...out, type: [out.type, "null"] };
  return Object.keys(out).length === 0 ? out : { anyOf: [out, { type: "null" }] };
}

/** Webhook schemas repeat the same user and repository inline: every part that occurs twice is written once. */
function shared(slice) {
  const counts = new Map();
  const count = (node) => {
    if (node === null || typeof node !== "object") return;
    if (worthSharing(node)) {
      const key = JSON.stringify(node);
      counts.set(key, (counts.get(key) ?? 0) + 1);
      if (counts.get(key) > 1) return;
    }
    for (const value of Object.values(node)) count(value);
  };
  count(slice);
  const names = new Map();
  const parts = {};
  const write = (node, top) => {
    if (node === null || typeof node !== "object") return node;
    if (!top && worthSharing(node)) {
      const key = JSON.stringify(node);
      if (counts.get(key) > 1) {
        if (!names.has(key)) {
          names.set(key, `part-${names.size + 1}`);
          parts[names.get(key)] = write(node, true);
        }
        return { $ref: `#/schemas/${names.get(key)}` };
      }
    }
    return Array.isArray(node)
      ? node.map((item) => write(item, false))
      : Object.fromEntries(Object.entries(node).map(([key, value]) => [key, write(value, false)]));
  };
  const written = write(slice, true);
  return { ...written, schemas: { ...written.schemas, ...parts } };
}

function worthSharing(node) {
  return (
    !Array.isArray(node) &&
    (node.properties !== undefined || node.anyOf !== undefined || node.enum !== undefined) &&
    typeof node.properties?.type !== "string" &&
    JSON.stringify(node).length > 120
  );
}

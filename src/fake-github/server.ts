/** HTTP in front of the fake GitHub: REST below /api/v3, GraphQL, git, admin, pages. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { callerOf, canReach, refuseCaller } from "./access.ts";
import { answerAdmin } from "./admin.ts";
import { checkBody, checkQuery, checkReply, findOperation } from "./api-description.ts";
import type { Call, Handler, Reply } from "./call.ts";
import { replyOfFault, takeFault } from "./faults.ts";
import { serveGit } from "./git-http.ts";
import { answerGraphql } from "./graphql.ts";
import { answerPage } from "./pages.ts";
import { actionsHandlers } from "./rest-actions.ts";
import { checkHandlers } from "./rest-checks.ts";
import { gitHandlers } from "./rest-git.ts";
import { issueHandlers } from "./rest-issues.ts";
import { pullHandlers } from "./rest-pulls.ts";
import { rateKey, rateOf, repoHandlers } from "./rest-repo.ts";
import type { World } from "./state.ts";
import { Refusal } from "./types.ts";

const HANDLERS: Record<string, Handler> = {
  ...issueHandlers,
  ...pullHandlers,
  ...checkHandlers,
  ...gitHandlers,
  ...repoHandlers,
  ...actionsHandlers,
};
const MAX_BODY = 25 * 1024 * 1024;

export function createFakeServer(world: World): Server {
  return createServer((request, response) => {
    answer(world, request, response).catch((error: unknown) => {
      const refusal =
        error instanceof Refusal
          ? error
          : new Refusal(500, error instanceof Error ? `${error.message}\n${error.stack}` : String(error));
      if (refusal.status === 500) world.violation("response", `${request.method} ${request.url}`, refusal.message);
      if (!response.headersSent)
        send(response, { status: refusal.status, body: { message: refusal.message }, headers: refusal.headers });
    });
  });
}

async function answer(world: World, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url!, world.url);
  const method = request.method!;
  if (/^\/[^/]+\/[^/]+\.git\//.test(url.pathname)) return serveGit(world, request, response, url);
  const bytes = await readBody(request);
  if (url.pathname.startsWith("/_fake/")) {
    const wish = bytes.length === 0 ? {} : (JSON.parse(bytes.toString("utf8")) as Record<string, unknown>);
    return send(response, {
      status: 200,
      body: (await answerAdmin(world, url.pathname.slice("/_fake/".length), wish)) ?? {},
    });
  }
  if (url.pathname.startsWith("/api/v3/"))
    return answerApi(world, request, response, url, url.pathname.slice("/api/v3".length), bytes);
  if (url.pathname === "/api/graphql" && method === "POST")
    return answerApi(world, request, response, url, "/graphql", bytes);
  if (method !== "GET") throw new Refusal(404, "Not Found");
  const html = answerPage(world, url.pathname);
  send(response, { status: 200, raw: { type: "text/html; charset=utf-8", bytes: Buffer.from(html) } });
}

async function answerApi(
  world: World,
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
  path: string,
  bytes: Buffer,
): Promise<void> {
  const method = request.method!;
  const fault = takeFault(world, method, path);
  const record = {
    id: world.nextId(),
    at: world.now(),
    method,
    path,
    operation: null as string | null,
    status: 0,
    fault: fault?.kind ?? null,
  };
  world.requests.push(record);
  if (fault?.kind === "delay") await new Promise((resolve) => setTimeout(resolve, fault.milliseconds));
  if (fault?.kind === "drop") {
    request.socket.destroy();
    return;
  }
  const instead = fault ? replyOfFault(fault) : null;
  let reply: Reply;
  if (instead && (fault!.kind === "status" || fault!.kind === "rate-limit" || fault!.kind === "secondary"))
    reply = instead;
  else {
    reply = await apply(world, request, url, path, bytes, record).catch((error: unknown) => {
      if (!(error instanceof Refusal)) throw error;
      return refusalReply(error);
    });
    if (fault?.kind === "applies-then-fails") reply = instead!;
    if (fault?.kind === "applies-then-drops") {
      request.socket.destroy();
      return;
    }
  }
  record.status = reply.status;
  send(response, reply);
}

async function apply(
  world: World,
  request: IncomingMessage,
  url: URL,
  path: string,
  bytes: Buffer,
  record: { operation: string | null },
): Promise<Reply> {
  const method = request.method!;
  const where = `${method} ${path}`;
  const caller = callerOf(world, request.headers.authorization);
  world.rateUsed.set(rateKey(caller), (world.rateUsed.get(rateKey(caller)) ?? 0) + 1);
  const actor = caller.kind === "anonymous" ? "" : world.botLogin;
  const body = bytes.length === 0 ? undefined : parseJson(bytes);
  if (path === "/graphql") {
    record.operation = "graphql";
    const allowed = (owner: string, repo: string, permission: string, level: "read" | "write") =>
      canReach(world, caller, owner, repo) &&
      caller.kind === "installation" &&
      (caller.token.permissions[permission] === "write" || caller.token.permissions[permission] === level);
    const { reply, applied } = await answerGraphql(world, actor, allowed, body ?? {});
    if (applied) remember(world, record, path, actor, 200, body);
    return { status: 200, body: reply };
  }
  const found = findOperation(method, path);
  if (found === null) {
    world.violation("request", where, "no such operation in the slice of GitHub's API description");
    return { status: 404, body: { message: "Not Found", documentation_url: "https://docs.github.com/rest" } };
  }
  const { operation, params } = found;
  record.operation = operation.id;
  const complaints = [...checkQuery(operation, url.searchParams), ...checkBody(operation, body)];
  if (complaints.length > 0) {
    for (const complaint of complaints) world.violation("request", where, complaint);
    return {
      status: 422,
      body: {
        message: `Invalid request.\n\n${complaints.join("\n")}`,
        documentation_url: "https://docs.github.com/rest",
      },
    };
  }
  const handler = HANDLERS[operation.id];
  if (!handler) {
    world.violation("request", where, `${operation.id} is described but not answered by the fake GitHub`);
    return { status: 501, body: { message: "not answered by the fake GitHub" } };
  }
  const refused = refuseCaller(world, caller, operation, params);
  if (refused) return refused;
  const call: Call = {
    world,
    caller,
    actor,
    params,
    query: url.searchParams,
    body: body ?? {},
    accept: request.headers.accept ?? "",
    url,
  };
  let reply: Reply;
  try {
    reply = await handler(call);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    reply = refusalReply(error);
  }
  if (reply.raw === undefined)
    for (const complaint of checkReply(operation, reply.status, reply.body))
      world.violation("response", `${where} ${operation.id}`, complaint);
  if (method !== "GET" && reply.status < 300) remember(world, record, path, actor, reply.status, body);
  const rate = rateOf(world, caller);
  const rateHeaders = Object.entries(rate).map(([name, value]) => [`x-ratelimit-${name}`, String(value)]);
  return {
    ...reply,
    headers: { ...Object.fromEntries(rateHeaders), "x-ratelimit-resource": "core", ...reply.headers },
  };
}

function refusalReply(error: Refusal): Reply {
  return {
    status: error.status,
    body: {
      message: error.message,
      documentation_url: "https://docs.github.com/rest",
      status: String(error.status),
      ...(error.errors ? { errors: error.errors } : {}),
    },
    headers: error.headers,
  };
}

function parseJson(bytes: Buffer): Record<string, unknown> {
  try {
    return JSON.parse(bytes.toString("utf8")) as Record<string, unknown>;
  } catch {
    throw new Refusal(400, "Problems parsing JSON");
  }
}

function remember(
  world: World,
  record: { operation: string | null },
  path: string,
  actor: string,
  status: number,
  body: unknown,
): void {
  if (record.operation === "apps/create-installation-access-token") return;
  world.effects.push({
    id: world.nextId(),
    at: world.now(),
    epochMs: Date.now(),
    operation: record.operation!,
    path,
    actor,
    status,
    body,
  });
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += (chunk as Buffer).length;
    if (size > MAX_BODY) throw new Refusal(413, "Payload too large");
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}

function send(response: ServerResponse, reply: Reply): void {
  if (reply.raw) {
    response.writeHead(reply.status, { "content-type": reply.raw.type, ...reply.headers }).end(reply.raw.bytes);
    return;
  }
  const text = reply.body === undefined ? "" : JSON.stringify(reply.body);
  response
    .writeHead(reply.status, {
      ...(text === "" ? {} : { "content-type": "application/json; charset=utf-8" }),
      "x-github-request-id": "FAKE",
      ...reply.headers,
    })
    .end(text);
}

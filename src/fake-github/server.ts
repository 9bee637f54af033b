/** HTTP in front of the fake GitHub: REST below /api/v3, GraphQL, git, admin, pages. */
import { spawn } from "node:child_process";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { answerAdmin } from "./admin.ts";
import { checkBody, checkQuery, checkReply, findOperation, type Operation } from "./api-description.ts";
import type { Call, Handler, Reply } from "./call.ts";
import { gitEnvironment } from "./git.ts";
import { answerGraphql } from "./graphql.ts";
import { answerPage } from "./pages.ts";
import { checkHandlers } from "./rest-checks.ts";
import { gitHandlers } from "./rest-git.ts";
import { issueHandlers } from "./rest-issues.ts";
import { pullHandlers } from "./rest-pulls.ts";
import { rateKey, rateOf, repoHandlers, verifyJwt } from "./rest-repo.ts";
import type { World } from "./state.ts";
import { type Caller, type FaultRule, Refusal } from "./types.ts";

const HANDLERS: Record<string, Handler> = {
  ...issueHandlers,
  ...pullHandlers,
  ...checkHandlers,
  ...gitHandlers,
  ...repoHandlers,
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
  if (/^\/[^/]+\/[^/]+\.git\//.test(url.pathname)) {
    if (await interrupted(world, request, response, `/git${url.pathname}`)) return;
    return serveGit(world, request, response, url);
  }
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

/** The next fault that meets this request, counted; null for none. */
function takeFault(world: World, method: string, path: string): FaultRule | null {
  const fault = world.faults.find(
    (rule) =>
      rule.hits < rule.times && new RegExp(`^(${rule.method})$`).test(method) && new RegExp(rule.path).test(path),
  );
  if (fault === undefined) return null;
  fault.hits += 1;
  return fault;
}

/** Faults of a fetch over git: a delay, a status or a cut connection. True when it was answered. */
async function interrupted(
  world: World,
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
): Promise<boolean> {
  const fault = takeFault(world, request.method!, path);
  if (fault === null) return false;
  if (fault.kind === "delay") await new Promise((resolve) => setTimeout(resolve, fault.milliseconds));
  else if (fault.kind === "drop" || fault.kind === "applies-then-drops") request.socket.destroy();
  else send(response, replyOfFault(fault)!);
  return fault.kind !== "delay";
}

function replyOfFault(fault: FaultRule): Reply | null {
  if (fault.kind === "rate-limit")
    return {
      status: 403,
      body: { message: "API rate limit exceeded", documentation_url: "https://docs.github.com/rest" },
      headers: {
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": String(Math.ceil(Date.now() / 1000) + (fault.retryAfter ?? 60)),
      },
    };
  if (fault.kind === "secondary")
    return {
      status: fault.status === 429 ? 429 : 403,
      body: { message: "You have exceeded a secondary rate limit." },
      headers: { "retry-after": String(fault.retryAfter ?? 60) },
    };
  return { status: fault.status, body: { message: "fault" } };
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
    const allowed = (owner: string, repo: string) =>
      canReach(world, caller, owner, repo) &&
      caller.kind === "installation" &&
      caller.token.permissions["contents"] === "write";
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

function callerOf(world: World, header: string | undefined): Caller {
  if (!header) return { kind: "anonymous" };
  const [scheme, value = ""] = header.split(" ");
  const credential =
    scheme?.toLowerCase() === "basic" ? (Buffer.from(value, "base64").toString("utf8").split(":")[1] ?? "") : value;
  const token = world.tokens.get(credential);
  if (token && token.expiresAt > Date.now())
    return { kind: "installation", token, installation: world.installation(token.installationId) };
  if (credential.split(".").length === 3 && !credential.startsWith("ghs_") && verifyJwt(world, credential))
    return { kind: "app" };
  throw new Refusal(401, "Bad credentials");
}

function canReach(world: World, caller: Caller, owner: string, name: string): boolean {
  const repo = world.repo(owner, name);
  if (caller.kind !== "installation") return caller.kind === "anonymous" && !repo.private;
  return (
    world.reposOf(caller.installation).includes(repo) &&
    (caller.token.repositoryIds === null || caller.token.repositoryIds.includes(repo.id))
  );
}

/** What a token must hold for an operation: of the first word of its id. */
const AREA: Record<string, string[]> = {
  issues: ["issues", "pull_requests"],
  reactions: ["issues", "pull_requests"],
  pulls: ["pull_requests"],
  checks: ["checks"],
  git: ["contents"],
  repos: ["contents", "metadata"],
};

function refuseCaller(
  world: World,
  caller: Caller,
  operation: Operation,
  params: Record<string, string>,
): Reply | null {
  const [area = ""] = operation.id.split("/");
  const message = (status: number, text: string): Reply => ({
    status,
    body: { message: text, documentation_url: "https://docs.github.com/rest" },
  });
  if (area === "apps" && !operation.id.includes("accessible") && !operation.id.includes("revoke"))
    return caller.kind === "app" ? null : message(401, "A JSON web token could not be decoded");
  if (caller.kind === "app") return message(403, "Resource not accessible by integration");
  if (params["owner"] !== undefined && !canReach(world, caller, params["owner"]!, params["repo"]!))
    return message(404, "Not Found");
  if (caller.kind === "anonymous") return operation.method === "GET" ? null : message(401, "Requires authentication");
  const needed = AREA[area];
  const level = (name: string) => caller.token.permissions[name] ?? (name === "metadata" ? "read" : "none");
  const enough = (has: string) => (operation.method === "GET" ? has !== "none" : has === "write");
  return !needed || needed.some((name) => enough(level(name)))
    ? null
    : message(403, "Resource not accessible by integration");
}

/** git over smart HTTP, by git's own CGI program. */
function serveGit(world: World, request: IncomingMessage, response: ServerResponse, url: URL): void {
  const [, owner = "", file = ""] = url.pathname.split("/");
  const repo = world.repo(owner, file.replace(/\.git$/, ""));
  const caller = callerOf(world, request.headers.authorization);
  if (!canReach(world, caller, repo.owner, repo.name)) {
    response.writeHead(401, { "www-authenticate": 'Basic realm="GitHub"' }).end();
    return;
  }
  if (caller.kind === "installation" && caller.token.permissions["contents"] === undefined) {
    response.writeHead(403).end("Write access to repository not granted.");
    return;
  }
  const rest = url.pathname.split("/").slice(3).join("/");
  // The app commits through the API only; a push over git would pass its checks and its webhooks by.
  if (rest === "git-receive-pack" || url.searchParams.get("service") === "git-receive-pack") {
    response.writeHead(403).end("Write access to repository not granted.");
    return;
  }
  const child = spawn("git", ["http-backend"], {
    env: gitEnvironment({
      GIT_PROJECT_ROOT: world.folder,
      GIT_HTTP_EXPORT_ALL: "1",
      PATH_INFO: `${repo.gitDir.slice(world.folder.length)}/${rest}`,
      REQUEST_METHOD: request.method!,
      QUERY_STRING: url.search.slice(1),
      CONTENT_TYPE: request.headers["content-type"] ?? "",
      HTTP_CONTENT_ENCODING: request.headers["content-encoding"] ?? "",
      HTTP_GIT_PROTOCOL: String(request.headers["git-protocol"] ?? ""),
    }),
    stdio: ["pipe", "pipe", "ignore"],
  });
  request.pipe(child.stdin);
  child.stdin.on("error", () => {});
  let head = Buffer.alloc(0);
  let started = false;
  child.stdout.on("data", (chunk: Buffer) => {
    if (started) {
      response.write(chunk);
      return;
    }
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf("\r\n\r\n");
    if (end < 0) return;
    started = true;
    const headers = head
      .toString("latin1", 0, end)
      .split("\r\n")
      .map((line) => line.split(/: ?(.*)/s) as [string, string]);
    const status = Number(headers.find(([name]) => name.toLowerCase() === "status")?.[1]?.split(" ")[0] ?? 200);
    response.writeHead(status, Object.fromEntries(headers.filter(([name]) => name.toLowerCase() !== "status")));
    response.write(head.subarray(end + 4));
  });
  child.on("close", () => (started ? response.end() : response.writeHead(500).end()));
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

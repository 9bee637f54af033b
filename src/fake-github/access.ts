/** Who calls, which repositories they reach, and what they may do there. */
import type { Operation } from "./api-description.ts";
import type { Reply } from "./call.ts";
import { verifyJwt } from "./rest-repo.ts";
import type { World } from "./state.ts";
import { type Caller, Refusal } from "./types.ts";

export function callerOf(world: World, header: string | undefined): Caller {
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

export function canReach(world: World, caller: Caller, owner: string, name: string): boolean {
  const repo = world.repo(owner, name);
  if (caller.kind !== "installation") return caller.kind === "anonymous" && !repo.private;
  return (
    world.reposOf(caller.installation).includes(repo) &&
    (caller.token.repositoryIds === null || caller.token.repositoryIds.includes(repo.id))
  );
}

/** What a token must hold for an operation, by the first word of its id; none of these: `metadata`, which every token holds. */
const AREA: Record<string, string[]> = {
  issues: ["issues", "pull_requests"],
  reactions: ["issues", "pull_requests"],
  pulls: ["pull_requests"],
  checks: ["checks"],
  git: ["contents"],
  actions: ["actions"],
};
const NEEDS_CONTENTS = new Set([
  "repos/get-content",
  "repos/list-branches",
  "repos/get-branch",
  "repos/list-commits",
  "repos/get-commit",
]);

export function refuseCaller(
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
  const needed = NEEDS_CONTENTS.has(operation.id) ? ["contents"] : AREA[area];
  const level = (name: string) => caller.token.permissions[name] ?? "none";
  const enough = (has: string) => (operation.method === "GET" ? has !== "none" : has === "write");
  return !needed || needed.some((name) => enough(level(name)))
    ? null
    : message(403, "Resource not accessible by integration");
}

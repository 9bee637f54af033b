/** REST: the app and its tokens, repositories, contents, refs. */
import { createVerify } from "node:crypto";
import { posix } from "node:path";
import { type Call, created, type Handler, listReply, ok, repoOf } from "./call.ts";
import { moveBranch, refView } from "./changes-git.ts";
import * as git from "./git.ts";
import { same, type World } from "./state.ts";
import { type Caller, type Delivery, Refusal, type Repo } from "./types.ts";
import { appView, fullRepoView, fullUserView, installationView, repoUrl, repoView, userView } from "./views.ts";
import { commitView, deliveryView, fileView } from "./views-pull.ts";
import { redeliver } from "./webhooks.ts";

/** App JWTs may live ten minutes (product.md 4.7); a minute of clock drift is accepted. */
const LONGEST_JWT_SECONDS = 600 + 60;

export function verifyJwt(world: World, token: string): boolean {
  const [head, payload, signature] = token.split(".");
  if (!head || !payload || !signature) return false;
  const verifier = createVerify("RSA-SHA256").update(`${head}.${payload}`);
  if (!verifier.verify(world.app.publicKey, Buffer.from(signature, "base64url"))) return false;
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString("utf8")) as {
    iss?: unknown;
    exp?: number;
    iat?: number;
  };
  const now = Date.now() / 1000;
  return (
    String(claims.iss) === String(world.app.id) &&
    claims.exp! > now &&
    claims.iat! <= now + 60 &&
    claims.exp! - claims.iat! <= LONGEST_JWT_SECONDS
  );
}

function newToken(call: Call) {
  const { world, body } = call;
  const installation = world.installation(Number(call.params["installation_id"]));
  if (installation.suspended) throw new Refusal(403, "This installation has been suspended");
  const own = world.reposOf(installation);
  const named = (body["repositories"] ?? []) as string[];
  const ids = [
    ...((body["repository_ids"] ?? []) as number[]),
    ...named.map((name) => own.find((repo) => same(repo.name, name))?.id ?? -1),
  ];
  if (ids.some((id) => !own.some((repo) => repo.id === id)))
    throw new Refusal(
      422,
      "There is at least one repository that does not exist or is not accessible to the parent installation.",
    );
  const wanted = (body["permissions"] ?? world.app.permissions) as Record<string, string>;
  for (const [name, level] of Object.entries(wanted)) {
    const has = world.app.permissions[name] ?? (name === "metadata" ? "read" : undefined);
    if (has === undefined || (level === "write" && has !== "write"))
      throw new Refusal(422, "The permissions requested are not granted to this installation.");
  }
  const token = {
    token: world.newToken(),
    installationId: installation.id,
    repositoryIds: ids.length > 0 ? ids : null,
    permissions: wanted,
    expiresAt: Date.now() + 3_600_000,
  };
  world.tokens.set(token.token, token);
  const repositories =
    ids.length > 0 ? own.filter((repo) => ids.includes(repo.id)).map((repo) => repoView(world, repo)) : undefined;
  return created({
    token: token.token,
    expires_at: new Date(token.expiresAt).toISOString().replace(/\.\d+Z$/, "Z"),
    permissions: wanted,
    repository_selection: ids.length > 0 ? "selected" : "all",
    ...(repositories ? { repositories } : {}),
  });
}

/** What of the primary limit a caller has used in this hour. */
export function rateOf(
  world: World,
  caller: Caller,
): { limit: number; used: number; remaining: number; reset: number } {
  const used = world.rateUsed.get(rateKey(caller)) ?? 0;
  const reset = (Math.floor(Date.now() / 3_600_000) + 1) * 3600;
  return { limit: world.rateLimit, used, remaining: Math.max(0, world.rateLimit - used), reset };
}

export function rateKey(caller: Caller): string {
  const hour = Math.floor(Date.now() / 3_600_000);
  return `${caller.kind === "installation" ? caller.installation.id : caller.kind} ${hour}`;
}

function refOf(call: Call): string {
  return call.params["ref"]!.replace(/^refs\//, "");
}

function contents(call: Call) {
  const repo = repoOf(call);
  const at = call.query.get("ref") ?? repo.defaultBranch;
  const sha = git.resolveCommit(repo.gitDir, at);
  if (sha === null) throw new Refusal(404, `No commit found for the ref ${at}`);
  const path = call.params["path"]!;
  const tree = git.listTree(repo.gitDir, sha, { recursive: true }).filter((one) => one.type === "blob");
  let entry = tree.find((one) => one.path === path);
  if (entry === undefined) throw new Refusal(404, "Not Found");
  if (entry.mode === "120000") {
    // "If the symlink's target is a normal file in the repository, then the API responds with the content of the file."
    const target = posix.join(posix.dirname(path), git.readBlob(repo.gitDir, entry.sha).toString("utf8"));
    entry = tree.find((one) => one.path === target && one.mode !== "120000") ?? entry;
  }
  const bytes = git.readBlob(repo.gitDir, entry.sha);
  if (/application\/vnd\.github\.(v3\.)?raw/.test(call.accept))
    return { status: 200, raw: { type: "application/vnd.github.raw; charset=utf-8", bytes } };
  const url = `${repoUrl(call.world, repo)}/contents/${path}?ref=${at}`;
  return ok({
    type: "file",
    encoding: bytes.length > 1_048_576 ? "none" : "base64",
    size: bytes.length,
    name: path.split("/").at(-1),
    path,
    content: bytes.length > 1_048_576 ? "" : bytes.toString("base64"),
    sha: entry.sha,
    url,
    git_url: `${repoUrl(call.world, repo)}/git/blobs/${entry.sha}`,
    html_url: url,
    download_url: url,
    _links: { git: url, self: url, html: url },
  });
}

function deliveryOf(call: Call): Delivery {
  const found = call.world.deliveries.find((one) => one.id === Number(call.params["delivery_id"]));
  if (found === undefined) throw new Refusal(404, "Not Found");
  return found;
}

function requireCommit(repo: Repo, sha: string): string {
  const found = git.resolveCommit(repo.gitDir, sha);
  if (found === null) throw new Refusal(422, `No commit found for SHA: ${sha}`);
  return found;
}

export const repoHandlers: Record<string, Handler> = {
  "apps/get-authenticated": (call) => ok(appView(call.world)),
  "apps/list-installations": (call) =>
    listReply(call, call.world.installations, (one) => installationView(call.world, one)),
  "apps/get-installation": (call) =>
    ok(installationView(call.world, call.world.installation(Number(call.params["installation_id"])))),
  "apps/create-installation-access-token": newToken,
  "apps/revoke-installation-access-token": (call) => {
    if (call.caller.kind === "installation") call.world.tokens.delete(call.caller.token.token);
    return { status: 204 };
  },
  "apps/get-repo-installation": (call) => {
    const installation = call.world.installationOf(repoOf(call));
    if (installation === null) throw new Refusal(404, "Not Found");
    return ok(installationView(call.world, installation));
  },
  "apps/get-webhook-config-for-app": (call) =>
    ok({ content_type: "json", insecure_ssl: "0", secret: "********", url: call.world.app.webhookUrl ?? "" }),
  "apps/list-webhook-deliveries": (call) => {
    const status = call.query.get("status");
    const failed = (one: Delivery) => one.statusCode < 200 || one.statusCode >= 300;
    const wanted = call.world.deliveries.filter((one) => status === null || failed(one) === (status === "failure"));
    // A cursor instead of page numbers: new deliveries arrive while a client reads.
    const before = Number((call.query.get("cursor") ?? "v1_Infinity").slice("v1_".length));
    const older = wanted.toReversed().filter((one) => one.id < before);
    const size = Math.min(100, Math.max(1, Number(call.query.get("per_page") ?? 30)));
    const items = older.slice(0, size);
    const next = new URL(call.url);
    next.searchParams.set("cursor", `v1_${items.at(-1)?.id}`);
    return ok(
      items.map((one) => deliveryView(call.world, one)),
      older.length > size ? { link: `<${next.href}>; rel="next"` } : {},
    );
  },
  "apps/redeliver-webhook-delivery": (call) => {
    redeliver(call.world, deliveryOf(call));
    return { status: 202, body: {} };
  },
  "apps/list-repos-accessible-to-installation": (call) => {
    if (call.caller.kind !== "installation") throw new Refusal(403, "Resource not accessible");
    const repos = call.world.reposOf(call.caller.installation);
    return ok({
      total_count: repos.length,
      repository_selection: "all",
      repositories: repos.map((repo) => repoView(call.world, repo)),
    });
  },
  "apps/get-webhook-delivery": (call) => {
    const delivery = deliveryOf(call);
    return ok({
      ...deliveryView(call.world, delivery),
      request: { headers: delivery.requestHeaders, payload: delivery.payload },
      response: { headers: delivery.responseHeaders, payload: delivery.responseBody },
    });
  },
  "rate-limit/get": (call) => {
    const rate = rateOf(call.world, call.caller);
    return ok({ resources: { core: rate, search: rate, graphql: rate }, rate });
  },
  "users/get-by-username": (call) => ok(fullUserView(call.world, call.world.user(call.params["username"]!))),
  "repos/get": (call) => ok(fullRepoView(call.world, repoOf(call))),
  "repos/get-content": contents,
  "repos/get-collaborator-permission-level": (call) => {
    const repo = repoOf(call);
    const login = call.params["username"]!;
    const { permission, roleName } = call.world.role(repo, login);
    const user = call.world.user(login);
    const has = (...levels: string[]) => levels.includes(permission);
    return ok({
      permission,
      role_name: roleName,
      user: {
        ...userView(call.world, user.login),
        role_name: roleName,
        permissions: {
          admin: has("admin"),
          maintain: roleName === "maintain" || has("admin"),
          push: has("admin", "write"),
          triage: roleName === "triage" || has("admin", "write"),
          pull: !has("none"),
        },
      },
    });
  },
  "repos/get-commit": (call) => {
    const repo = repoOf(call);
    const sha = requireCommit(repo, call.params["ref"]!);
    const files = git.diff(repo.gitDir, git.readCommit(repo.gitDir, sha).parents[0] ?? null, sha);
    // GitHub shows 300 files on the first page of a commit.
    return ok({
      ...commitView(call.world, repo, sha),
      files: files.slice(0, 300).map((file) => fileView(call.world, repo, sha, file)),
    });
  },
  "git/get-ref": (call) => {
    const repo = repoOf(call);
    const name = `refs/${refOf(call)}`;
    const found = git.listRefs(repo.gitDir, name).find((one) => one.ref === name);
    if (found === undefined) throw new Refusal(404, "Not Found");
    return ok(refView(call.world, repo, found));
  },
  "git/create-ref": (call) => {
    const repo = repoOf(call);
    const ref = String(call.body["ref"]);
    if (!ref.startsWith("refs/heads/") || !git.validRefName(ref)) throw new Refusal(422, "Reference name is not valid");
    if (git.objectType(repo.gitDir, String(call.body["sha"])) !== "commit")
      throw new Refusal(422, "Object does not exist");
    const branch = ref.slice("refs/heads/".length);
    if (git.branchHead(repo.gitDir, branch) !== null) throw new Refusal(422, "Reference already exists");
    moveBranch(call.world, repo, branch, { old: null, sha: String(call.body["sha"]), login: call.actor });
    return created(refView(call.world, repo, { ref, sha: String(call.body["sha"]), type: "commit" }));
  },
  "git/delete-ref": (call) => {
    const repo = repoOf(call);
    const branch = refOf(call).replace(/^heads\//, "");
    const old = git.branchHead(repo.gitDir, branch);
    if (old === null) throw new Refusal(422, "Reference does not exist");
    moveBranch(call.world, repo, branch, { old, sha: null, login: call.actor });
    return { status: 204 };
  },
  "git/get-blob": (call) => {
    const repo = repoOf(call);
    const sha = call.params["file_sha"]!;
    if (git.objectType(repo.gitDir, sha) !== "blob") throw new Refusal(404, "Not Found");
    const bytes = git.readBlob(repo.gitDir, sha);
    return ok({
      content: bytes.toString("base64"),
      encoding: "base64",
      url: `${repoUrl(call.world, repo)}/git/blobs/${sha}`,
      sha,
      size: bytes.length,
      node_id: `B_${sha}`,
    });
  },
};

/** Signed webhooks out: asynchronous, ten seconds to answer, never sent again unless asked (product.md 4.6). */
import { createHmac, randomUUID } from "node:crypto";
import { checkWebhook, WEBHOOK_NAMES } from "./api-description.ts";
import type { World } from "./state.ts";
import type { Delivery, Installation, Repo } from "./types.ts";
import { type Json, nodeId, repoView, userView } from "./views.ts";

const TIMEOUT_MS = 10_000;
const pending = new Set<Promise<void>>();

export type Hook = { event: string; action: string | null; sender: string; payload: Json };

/** Sends to the app when it is installed on the repository and listens to the event. */
export function emit(world: World, repo: Repo, hook: Hook): void {
  const installation = world.installationOf(repo);
  if (installation === null || installation.suspended) return;
  if (!world.app.events.includes(hook.event)) return;
  send(world, installation, repo, hook);
}

/** For `installation`, which every app gets. */
export function emitToApp(world: World, installation: Installation, hook: Hook): void {
  send(world, installation, null, hook);
}

function send(world: World, installation: Installation, repo: Repo | null, hook: Hook): void {
  const payload: Json = {
    ...(hook.action === null ? {} : { action: hook.action }),
    ...hook.payload,
    ...(repo === null ? {} : { repository: hook.event === "push" ? pushRepoView(world, repo) : repoView(world, repo) }),
    ...("installation" in hook.payload
      ? {}
      : { installation: { id: installation.id, node_id: nodeId("MDIzOk", installation.id) } }),
    sender: userView(world, hook.sender),
  };
  const name = [hook.event, hook.action]
    .filter((part) => part !== null)
    .join("-")
    .replaceAll("_", "-");
  if (WEBHOOK_NAMES.includes(name)) {
    for (const complaint of checkWebhook(name, payload)) world.violation("webhook", name, complaint);
  } else {
    world.violation("webhook", name, "the slice of the API description holds no schema for it");
  }
  const guid = randomUUID();
  const delivery: Delivery = {
    id: world.nextId(),
    guid,
    deliveredAt: world.now(),
    redelivery: false,
    duration: 0,
    status: "pending",
    statusCode: 0,
    event: hook.event,
    action: hook.action,
    installationId: installation.id,
    repositoryId: repo?.id ?? null,
    requestHeaders: {},
    payload,
    responseHeaders: {},
    responseBody: "",
  };
  if (world.app.webhookUrl === null) return;
  world.deliveries.push(delivery);
  post(world, delivery);
}

/** GitHub's push event writes times as seconds in `repository`. */
function pushRepoView(world: World, repo: Repo): Json {
  const seconds = (iso: string) => Math.floor(Date.parse(iso) / 1000);
  return {
    ...repoView(world, repo),
    created_at: seconds(repo.createdAt),
    pushed_at: seconds(repo.pushedAt),
    master_branch: repo.defaultBranch,
    stargazers: 0,
  };
}

/** Sends a recorded delivery again under the same guid, as a new entry of the list. */
export function redeliver(world: World, delivery: Delivery): void {
  const again: Delivery = {
    ...delivery,
    id: world.nextId(),
    redelivery: true,
    deliveredAt: world.now(),
    status: "pending",
    statusCode: 0,
    responseBody: "",
  };
  world.deliveries.push(again);
  post(world, again);
}

function post(world: World, delivery: Delivery): void {
  const body = JSON.stringify(delivery.payload);
  delivery.requestHeaders = {
    "content-type": "application/json",
    "user-agent": `GitHub-Hookshot/${delivery.guid.slice(0, 7)}`,
    "x-github-delivery": delivery.guid,
    "x-github-event": delivery.event,
    "x-github-hook-id": String(world.app.id),
    "x-github-hook-installation-target-id": String(world.app.id),
    "x-github-hook-installation-target-type": "integration",
    "x-hub-signature-256": `sha256=${createHmac("sha256", world.app.webhookSecret).update(body).digest("hex")}`,
  };
  const url = world.app.webhookUrl!;
  const started = performance.now();
  const work = fetch(url, {
    method: "POST",
    headers: delivery.requestHeaders,
    body,
    redirect: "manual",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  })
    .then(async (response) => {
      delivery.statusCode = response.status;
      delivery.status = response.ok ? "OK" : response.statusText || "Failed";
      delivery.responseHeaders = Object.fromEntries(response.headers);
      delivery.responseBody = (await response.text()).slice(0, 4096);
    })
    .catch((error: Error) => {
      delivery.status = error.name === "TimeoutError" ? "timed out" : "failed to connect to host";
    })
    .finally(() => {
      delivery.duration = Math.round(performance.now() - started) / 1000;
      pending.delete(work);
    });
  pending.add(work);
}

/** Resolves when no delivery is on its way. */
export async function settled(): Promise<void> {
  while (pending.size > 0) await Promise.all(pending);
}

/** git over smart HTTP, by git's own CGI program. */
import { spawn } from "node:child_process";
import type { IncomingMessage, ServerResponse } from "node:http";
import { callerOf, canReach } from "./access.ts";
import { replyOfFault, takeFault } from "./faults.ts";
import { gitEnvironment } from "./git.ts";
import type { World } from "./state.ts";

/** A fetch; faults meet it under the path `/git/OWNER/REPO.git/…`. */
export async function serveGit(
  world: World,
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
): Promise<void> {
  const fault = takeFault(world, request.method!, `/git${url.pathname}`);
  if (fault?.kind === "delay") await new Promise((resolve) => setTimeout(resolve, fault.milliseconds));
  else if (fault?.kind === "drop" || fault?.kind === "applies-then-drops") {
    request.socket.destroy();
    return;
  } else if (fault) {
    const { status, headers } = replyOfFault(fault);
    response.writeHead(status, headers).end();
    return;
  }
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

/** The host that GitHub keeps artifacts on: another origin than the API's, which must never see a token. */
import { createServer, type Server } from "node:http";
import type { World } from "./state.ts";

/** `/artifacts/ID` is the zip; `/again/ID` sends there once more; `/endless` never ends; `/broken` breaks off; `/down` is 503. */
export function createStorageServer(world: World): Server {
  return createServer((request, response) => {
    const url = new URL(request.url!, world.storageUrl);
    const [, what, id] = url.pathname.split("/");
    world.storageRequests.push({ path: url.pathname, headers: { ...request.headers } });
    const artifact = world.repos
      .flatMap((repo) => repo.workflowRuns.flatMap((run) => run.artifacts))
      .find((one) => one.id === Number(id));
    if (what === "down") response.writeHead(503).end();
    else if (what === "endless") {
      response.writeHead(200);
      const more = () => {
        while (response.write(Buffer.alloc(1 << 16)));
      };
      response.on("drain", more);
      more();
    } else if (what === "again") response.writeHead(302, { location: `${world.storageUrl}/artifacts/${id}` }).end();
    else if (what === "broken") {
      response.writeHead(200, { "content-length": 1_000 });
      response.write("PK", () => response.destroy());
    } else if (artifact === undefined) response.writeHead(404).end();
    else response.writeHead(200, { "content-type": "application/zip" }).end(artifact.zip);
  });
}

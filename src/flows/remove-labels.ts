/**
 * Labels taken away for good: from the log, and from snapshots. A snapshot is named by the hash of all its rows, so one that
 * holds a row of them goes whole; the next one is as if they had never been (security.md section 4, poisoned labels).
 */
import { rowIdsOf } from "../domain/learning-rows.ts";
import type { Clock, Files, LearningStore } from "../ports.ts";
import { learntPulls, snapshotRows, snapshotStore } from "./build-snapshot.ts";

type RemoveLabelsPorts = { learning: LearningStore; files: Files; clock: Clock };

/** How many pull requests went, and the names of the snapshots that did. */
export type Removed = { pullRequests: number; snapshots: string[] };

/** Of one person. @param folder that snapshots stand in. */
export async function removeActor(ports: RemoveLabelsPorts, folder: string, actor: string): Promise<Removed> {
  const { learning, files, clock } = ports;
  const now = clock.now().getTime();
  const theirs = new Set((await learntPulls(learning, null)).flatMap((pull) => rowIdsOf(pull, actor, now)));
  const forget = async () => {
    for (const name of await files.folders(folder)) {
      const held = await snapshotRows(files, `${folder}/${name}`);
      if ([...held.keys()].some((id) => theirs.has(id))) await files.remove(`${folder}/${name}`);
    }
  };
  return await counted(ports, folder, async () => {
    // Snapshots first: while the facts stand, the same command finds again what it did not come to.
    await forget();
    await learning.removeActor(actor);
    // One may have been written of the facts while they went.
    await forget();
  });
}

/** Of one installation, or of one repository of it. @param folder that snapshots stand in. */
export async function removePlace(
  ports: RemoveLabelsPorts,
  folder: string,
  installationId: number,
  repositoryId?: number,
): Promise<Removed> {
  return await counted(ports, folder, async () => {
    await ports.learning.deleteInstallation(installationId, repositoryId);
    await snapshotStore(ports, folder).deleteInstallation(installationId, repositoryId);
  });
}

async function counted(
  { learning, files }: RemoveLabelsPorts,
  folder: string,
  remove: () => Promise<void>,
): Promise<Removed> {
  const pulls = (await learning.pullRequests()).length;
  const snapshots = await files.folders(folder);
  await remove();
  const left = new Set(await files.folders(folder));
  return {
    pullRequests: pulls - (await learning.pullRequests()).length,
    snapshots: snapshots.filter((name) => !left.has(name)),
  };
}

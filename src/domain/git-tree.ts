/** Git's ids of blobs and trees, computed as git does, so that two machines can compare trees without exchanging them. */
import { createHash } from "node:crypto";

/** `mode` as in `git ls-tree`; `oid` hex. */
export type TreeEntry = { path: string; mode: string; oid: string };

/** `sha1` or `sha256`: the object format of the repository. */
export type ObjectFormat = "sha1" | "sha256";

export function blobId(content: Uint8Array, format: ObjectFormat = "sha1"): string {
  return idOf("blob", content, format);
}

/** Id of the root tree that holds exactly these entries, paths with `/`. */
export function treeId(entries: readonly TreeEntry[], format: ObjectFormat = "sha1"): string {
  type Folder = Map<string, TreeEntry | Folder>;
  const root: Folder = new Map();
  for (const entry of entries) {
    const parts = entry.path.split("/");
    let folder = root;
    for (const part of parts.slice(0, -1)) {
      let next = folder.get(part);
      if (!(next instanceof Map)) {
        next = new Map();
        folder.set(part, next);
      }
      folder = next;
    }
    folder.set(parts.at(-1)!, entry);
  }
  const write = (folder: Folder): string => {
    const rows = [...folder].map(([name, one]) => ({
      // Git sorts a folder as if its name ended in a slash.
      key: Buffer.from(one instanceof Map ? `${name}/` : name),
      name,
      mode: one instanceof Map ? "40000" : one.mode.replace(/^0/, ""),
      oid: one instanceof Map ? write(one) : one.oid,
    }));
    rows.sort((a, b) => Buffer.compare(a.key, b.key));
    const content = rows.flatMap(({ mode, name, oid }) => [Buffer.from(`${mode} ${name}\0`), Buffer.from(oid, "hex")]);
    return idOf("tree", Buffer.concat(content), format);
  };
  return write(root);
}

function idOf(kind: "blob" | "tree", content: Uint8Array, format: ObjectFormat): string {
  return createHash(format).update(`${kind} ${content.length}\0`).update(content).digest("hex");
}

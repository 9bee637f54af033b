/** The part of yauzl 3.4 in use; the published types are of version 2, which has no promises. */
declare module "yauzl" {
  import type { Readable } from "node:stream";
  export type Entry = { fileName: string; compressedSize: number; uncompressedSize: number };
  export type ZipFile = {
    eachEntry(): AsyncIterable<Entry>;
    openReadStreamPromise(entry: Entry): Promise<Readable>;
  };
  const yauzl: { fromBufferPromise(buffer: Buffer, options: { lazyEntries: true }): Promise<ZipFile> };
  export default yauzl;
}

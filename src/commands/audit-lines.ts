/** Reading audit files: from their end, from their start, and while they grow. Never a whole file at once. */
import { constants } from 'node:fs';
import { open, stat, type FileHandle } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';

const BLOCK_BYTES = 64 * 1024;
/** Longer than any line that the shim writes; the rest of such a line is not kept. */
const MOST_LINE_BYTES = 64 * 1024;
const NEWLINE = 0x0a;
/** What the shim keeps itself is less (`audit.keep`). */
const MOST_ROTATED = 1000;
const POLL_MS = 200;
/** A shim notices within a second that its file was moved, and writes to the old one until then. */
const MOVED_MS = 1_500;

/**
 * @param path the audit file
 * @returns it and its rotated files `PATH.1`, `PATH.2` …, open, the newest first; empty where there is none
 * @throws the system's error for one that is there and cannot be read
 */
export async function openAuditFiles(path: string): Promise<FileHandle[]> {
  const handles: FileHandle[] = [];
  const seen = new Set<number>();
  for (let number = 0; number <= MOST_ROTATED; number++) {
    const handle = await openFile(rotatedName(path, number));
    if (handle === undefined && number > 0) break;
    if (handle === undefined) continue;
    // The files may be rotated between two of these steps: the same one would come again.
    const { ino } = await handle.stat();
    if (seen.has(ino)) await handle.close();
    else handles.push(handle);
    seen.add(ino);
  }
  return handles;
}

/**
 * @param handle a file
 * @param size how much of it is looked at
 * @returns its lines, the last one first. What stands behind the last newline comes before them, also when it is empty
 */
export async function* linesBackward(handle: FileHandle, size: number): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  for (let end = size; end > 0;) {
    const start = Math.max(0, end - BLOCK_BYTES);
    const block = Buffer.alloc(end - start);
    const { bytesRead } = await handle.read(block, 0, block.length, start);
    let stop = bytesRead;
    for (let at = lastNewline(block, stop); at >= 0; at = lastNewline(block, stop)) {
      yield Buffer.concat([block.subarray(at + 1, stop), rest]);
      rest = Buffer.alloc(0);
      stop = at;
    }
    rest = Buffer.concat([block.subarray(0, stop), rest]);
    if (rest.length > MOST_LINE_BYTES) rest = rest.subarray(-MOST_LINE_BYTES);
    end = start;
  }
  yield rest;
}

function lastNewline(block: Buffer, before: number): number {
  // A negative place would count from the end.
  return before === 0 ? -1 : block.lastIndexOf(NEWLINE, before - 1);
}

/**
 * @param handle a file
 * @returns its lines, the first one first; also what stands behind the last newline
 */
export async function* linesForward(handle: FileHandle): AsyncGenerator<Buffer> {
  const reader = new LineReader(handle, 0);
  for (let lines = await reader.next(); lines; lines = await reader.next()) yield* lines;
  if (reader.rest.length > 0) yield reader.rest;
}

/**
 * Gives lines as they are written, also after the file was rotated, until it is told to stop.
 *
 * @param path the audit file
 * @param handle the same, open; it is closed at the end
 * @param position where to begin, after a newline
 * @param stop ends it
 */
export async function* followLines(
  path: string,
  handle: FileHandle,
  position: number,
  stop: AbortSignal,
): AsyncGenerator<Buffer> {
  let reader = new LineReader(handle, position);
  let moved: number | undefined;
  try {
    for (;;) {
      for (let lines = await reader.next(); lines; lines = await reader.next()) yield* lines;
      const next =
        moved !== undefined && performance.now() - moved >= MOVED_MS ? await successor(path, handle) : undefined;
      if (next) {
        await handle.close();
        handle = next;
        reader = new LineReader(handle, 0);
        moved = undefined;
        continue;
      }
      await wait(POLL_MS, undefined, { signal: stop }).catch(() => undefined);
      if (stop.aborted) return;
      const { ino, size } = await handle.stat();
      if (size < reader.position) reader = new LineReader(handle, 0);
      if ((await inodeOf(path)) === ino) moved = undefined;
      else moved ??= performance.now();
    }
  } finally {
    await handle.close();
  }
}

/** The file that was begun after this one; there may have been several. */
async function successor(path: string, handle: FileHandle): Promise<FileHandle | undefined> {
  const { ino } = await handle.stat();
  for (let number = 1; number <= MOST_ROTATED; number++) {
    const inode = await inodeOf(rotatedName(path, number));
    if (inode === ino) return openFile(rotatedName(path, number - 1));
    if (inode === undefined) break;
  }
  return openFile(path);
}

class LineReader {
  readonly #handle: FileHandle;
  readonly #block = Buffer.alloc(BLOCK_BYTES);
  /** Bytes that were read so far. */
  position: number;
  /** What stands behind the last newline. */
  rest: Buffer = Buffer.alloc(0);

  constructor(handle: FileHandle, position: number) {
    this.#handle = handle;
    this.position = position;
  }

  /** @returns the lines that end in the next block; `undefined` at the end of the file */
  async next(): Promise<Buffer[] | undefined> {
    const { bytesRead } = await this.#handle.read(this.#block, 0, BLOCK_BYTES, this.position);
    if (bytesRead === 0) return undefined;
    this.position += bytesRead;
    const lines: Buffer[] = [];
    let start = 0;
    for (let at = this.#block.indexOf(NEWLINE); at >= 0 && at < bytesRead; at = this.#block.indexOf(NEWLINE, start)) {
      lines.push(Buffer.concat([this.rest, this.#block.subarray(start, at)]));
      this.rest = Buffer.alloc(0);
      start = at + 1;
    }
    this.rest = Buffer.concat([this.rest, this.#block.subarray(start, bytesRead)]).subarray(0, MOST_LINE_BYTES);
    return lines;
  }
}

async function openFile(path: string): Promise<FileHandle | undefined> {
  let handle: FileHandle;
  try {
    // A FIFO would keep the command waiting.
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  if ((await handle.stat()).isFile()) return handle;
  await handle.close();
  throw new Error(`${path} is no regular file`);
}

async function inodeOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.ino;
}

function rotatedName(path: string, number: number): string {
  return number === 0 ? path : `${path}.${number}`;
}

/** One device identity in a file: read only when nobody else could have, written so that nobody sees a part of it. */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { link, mkdir, open, rename, rm, stat, unlink, type FileHandle } from 'node:fs/promises';
import { basename, join } from 'node:path';
import * as z from 'zod';
import { readFaultWords } from '../config/world.ts';
import { deviceFromPem, type Device } from './device.ts';

/**
 * `name`: no caller can be called so. `full`: too many callers of other shims have one. `exposed`: others may have read or changed it. `damaged`: it is not what was
 * written. `disk`: the system refuses.
 */
export type DeviceStoreFault = 'name' | 'full' | 'exposed' | 'damaged' | 'disk';

/** Why an identity cannot be used, in words for the operator. They have nothing of what a file holds. */
export class DeviceStoreError extends Error {
  readonly fault: DeviceStoreFault;
  /** Whose identity it is about, if about one. */
  readonly caller: string | undefined;

  constructor(fault: DeviceStoreFault, message: string, caller?: string) {
    super(message);
    this.name = 'DeviceStoreError';
    this.fault = fault;
    this.caller = caller;
  }
}

/** A device, and since when it is a caller's. */
export interface DatedDevice {
  readonly device: Device;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
}

/** A caller's; or another shim, a slash, and what it calls its caller; or an issuer, a colon, and whom it names. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}(?:[/:][\x21-\x7e]{1,128})?$/;
const ESCAPED = /[^A-Za-z0-9._@-]/g;
/** Of every file system that is in use. */
const LONGEST_FILE = 255;
/** A link at the end of the path could lead anywhere, and a FIFO would be waited for. */
const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const ROOT = 0;
const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;
const OTHERS = 0o077;
const OTHERS_WRITE = 0o022;
/** Four times what such a file has. */
const MOST_BYTES = 2048;

const content = z.object({
  caller: z.string(),
  deviceId: z.string(),
  privateKey: z.string(),
  createdAt: z.iso.datetime(),
});

/**
 * @param folder of the store
 * @param caller whose identity
 * @returns the path of its file
 * @throws DeviceStoreError for what would lead elsewhere
 */
export function deviceFile(folder: string, caller: string): string {
  const file = `${caller.replaceAll(ESCAPED, (one) => `%${one.charCodeAt(0).toString(16)}`)}.json`;
  if (!NAME.test(caller) || file.length > LONGEST_FILE) {
    throw new DeviceStoreError('name', `no device identity is kept for the name ${JSON.stringify(caller)}`);
  }
  return join(folder, file);
}

/**
 * @param file name of a file in the folder of a store
 * @returns whose identity it is, or `undefined` for what is nothing of the store's
 */
export function callerOf(file: string): string | undefined {
  if (!file.endsWith('.json')) return undefined;
  const caller = file
    .slice(0, -'.json'.length)
    .replaceAll(/%([0-9a-f]{2})/g, (_escape, digits: string) => String.fromCharCode(parseInt(digits, 16)));
  try {
    return basename(deviceFile('', caller)) === file ? caller : undefined;
  } catch {
    return undefined;
  }
}

/**
 * @param folder of the store
 * @param owner numeric id of the user that it must belong to, if not to root; `undefined`: to anybody
 * @returns whether it is there
 * @throws DeviceStoreError where others could put a file of their own into it
 */
export async function checkFolder(folder: string, owner?: number): Promise<boolean> {
  let mode: number;
  let uid: number;
  try {
    const found = await stat(folder);
    if (!found.isDirectory()) throw new DeviceStoreError('disk', `${folder} is no folder`);
    ({ mode, uid } = found);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw asStoreError(error, `${folder} ${readFaultWords(error)}`);
  }
  if (isOthers(uid, owner)) {
    throw new DeviceStoreError('exposed', `${folder} belongs to another user (${uid}), who can put an identity there`);
  }
  if ((mode & OTHERS_WRITE) === 0) return true;
  throw new DeviceStoreError(
    'exposed',
    `others may write to ${folder} (mode ${octal(mode)}), and so give callers an identity that they know: ` +
      'make it "chmod 700", or name a new folder, which the shim makes',
  );
}

/**
 * @param folder of the store
 * @param caller whose identity
 * @param owner as of `checkFolder`
 * @returns it, or `undefined` where there is none
 * @throws DeviceStoreError for a file that was not written by a store, or may be known to others
 */
export async function readDevice(folder: string, caller: string, owner?: number): Promise<DatedDevice | undefined> {
  const path = deviceFile(folder, caller);
  const text = await readPrivate(path, caller, owner);
  return text === undefined ? undefined : parse(text, path, caller);
}

/**
 * @param folder of the store; it is made where it is not there
 * @param caller whose identity
 * @param dated what is to be kept
 * @param how `first` leaves alone what is there, `over` takes its place
 * @returns whether it was written
 * @throws DeviceStoreError
 */
export async function writeDevice(
  folder: string,
  caller: string,
  { device, createdAt }: DatedDevice,
  how: 'first' | 'over',
): Promise<boolean> {
  const path = deviceFile(folder, caller);
  // No caller's name begins with a dot: what a process that was killed leaves here is never taken for an identity.
  const fresh = join(folder, `.${randomBytes(8).toString('hex')}.new`);
  const written: z.infer<typeof content> = {
    caller,
    deviceId: device.id,
    privateKey: device.toPem(),
    createdAt: new Date(createdAt).toISOString(),
  };
  try {
    if (!(await checkFolder(folder))) await mkdir(folder, { recursive: true, mode: FOLDER_MODE });
    try {
      const file = await open(fresh, 'wx', FILE_MODE);
      try {
        await file.writeFile(`${JSON.stringify(written, null, 2)}\n`);
        await file.sync();
      } finally {
        await file.close();
      }
      if (how === 'over') await rename(fresh, path);
      // Unlike a rename, a link fails where another process was first.
      else await link(fresh, path);
    } finally {
      await rm(fresh, { force: true });
    }
    await syncFolder(folder);
    return true;
  } catch (error) {
    if (how === 'first' && codeOf(error) === 'EEXIST') return false;
    throw asStoreError(error, `${path} cannot be written (${codeOf(error)})`, caller);
  }
}

/**
 * @param folder of the store
 * @param caller whose identity
 * @returns whether there was a file, sound or not
 * @throws DeviceStoreError
 */
export async function removeDevice(folder: string, caller: string): Promise<boolean> {
  const path = deviceFile(folder, caller);
  try {
    await unlink(path);
    await syncFolder(folder);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw asStoreError(error, `${path} cannot be removed (${codeOf(error)})`, caller);
  }
}

function isOthers(uid: number, owner: number | undefined): boolean {
  return owner !== undefined && uid !== owner && uid !== ROOT;
}

async function readPrivate(path: string, caller: string, owner?: number): Promise<string | undefined> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, FLAGS);
    const found = await file.stat();
    if (!found.isFile()) throw unfit('damaged', `${path} is no plain file`, caller);
    if (isOthers(found.uid, owner)) {
      throw unfit('exposed', `${path} belongs to another user (${found.uid}), who knows its key`, caller);
    }
    if ((found.mode & OTHERS) !== 0) {
      const mode = `${path} has mode ${octal(found.mode)}: others may know its key`;
      throw unfit('exposed', `${mode}. Where nobody had access, "chmod 600" will do`, caller);
    }
    if (found.size > MOST_BYTES) throw unfit('damaged', `${path} is too large for a device identity`, caller);
    return await file.readFile('utf8');
  } catch (error) {
    switch (codeOf(error)) {
      case 'ENOENT':
        return undefined;
      case 'ELOOP':
        throw unfit('exposed', `${path} is a symbolic link, which is not followed`, caller);
      default:
        throw asStoreError(error, `${path} ${readFaultWords(error)}`, caller);
    }
  } finally {
    await file?.close();
  }
}

function parse(text: string, path: string, caller: string): DatedDevice {
  let device: Device;
  let written: z.infer<typeof content>;
  try {
    written = content.parse(JSON.parse(text));
    device = deviceFromPem(written.privateKey);
  } catch {
    // The error is not kept as a cause: its words can quote the key.
    throw unfit('damaged', `${path} is damaged: it holds no device identity`, caller);
  }
  // Also where a file system takes two names for one that differ in case alone.
  if (written.caller !== caller) throw unfit('damaged', `${path} has the identity of another caller`, caller);
  if (written.deviceId !== device.id)
    throw unfit('damaged', `${path} is damaged: its key is not the one of its device id`, caller);
  return { device, createdAt: Date.parse(written.createdAt) };
}

function unfit(fault: DeviceStoreFault, words: string, caller: string): DeviceStoreError {
  const remedy = `"auth-shim device forget ${caller}" removes it, and the next connect makes a new identity`;
  return new DeviceStoreError(fault, `${words}. ${remedy}`, caller);
}

async function syncFolder(folder: string): Promise<void> {
  const directory = await open(folder, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function asStoreError(error: unknown, words: string, caller?: string): unknown {
  if (!(error instanceof Error) || !('code' in error)) return error;
  return new DeviceStoreError('disk', words, caller);
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, '0');
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}

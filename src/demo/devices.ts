/** The devices that the stand-in gateway knows: what `openclaw devices` lists, approves and removes. */
import { randomBytes, randomUUID } from 'node:crypto';
import { hasScope, isScope } from '../scopes.ts';

export interface Device {
  readonly id: string;
  /** The raw Ed25519 key, base64url. */
  readonly publicKey: string;
  readonly clientId: string;
  readonly clientMode: string;
  readonly displayName: string | undefined;
  readonly platform: string;
  /** All that was ever approved, or what is asked of a waiting one. */
  readonly scopes: readonly string[];
  /** Whether it was approved without an operator. */
  readonly silent: boolean;
}

export interface DeviceToken {
  readonly token: string;
  readonly scopes: readonly string[];
  readonly issuedAtMs: number;
}

/** What tests see of the devices. */
export interface Devices {
  paired(): readonly Device[];
  /** Those that wait for an operator, with the id of their request. */
  waiting(): readonly (Device & { readonly requestId: string })[];
  /** What an operator does for a waiting device. @throws Error when it does not wait */
  approve(id: string): void;
  /** Removes a device, so that its next connect is its first. */
  forget(id: string): void;
}

export interface DeviceRecords extends Devices {
  get(id: string): Device | undefined;
  /** Pairs, or widens what is paired. */
  pair(device: Device): void;
  /** @returns the id of the request, which an operator would approve */
  wait(device: Device): string;
  /** @returns the device's token for these scopes; an older one that covers them is given again */
  tokenFor(id: string, scopes: readonly string[]): DeviceToken | undefined;
}

export function createDevices(): DeviceRecords {
  const paired = new Map<string, Device>();
  const waiting = new Map<string, Device & { readonly requestId: string }>();
  const tokens = new Map<string, DeviceToken>();
  const pair = (device: Device): void => {
    const scopes = [...new Set([...(paired.get(device.id)?.scopes ?? []), ...device.scopes])];
    paired.set(device.id, { ...device, scopes });
    waiting.delete(device.id);
  };
  return {
    paired: () => [...paired.values()],
    waiting: () => [...waiting.values()],
    approve(id) {
      const request = waiting.get(id);
      if (!request) throw new Error(`no request of device ${id}`);
      const { requestId: _, ...device } = request;
      pair({ ...device, silent: false });
    },
    forget(id) {
      paired.delete(id);
      waiting.delete(id);
      tokens.delete(id);
    },
    get: (id) => paired.get(id),
    pair,
    wait(device) {
      const before = waiting.get(device.id);
      if (before && covers(before.scopes, device.scopes)) return before.requestId;
      const requestId = randomUUID();
      waiting.set(device.id, { ...device, requestId });
      return requestId;
    },
    tokenFor(id, scopes) {
      if (!paired.has(id)) return undefined;
      const known = tokens.get(id);
      if (known && covers(known.scopes, scopes)) return known;
      const token = randomBytes(32).toString('base64url');
      const fresh = { token, scopes: withImplied(scopes), issuedAtMs: Date.now() };
      tokens.set(id, fresh);
      return fresh;
    },
  };
}

/** @returns whether scopes that were approved are enough for those that are asked */
export function covers(approved: readonly string[], asked: readonly string[]): boolean {
  const known = approved.filter(isScope);
  return asked.every((scope) => approved.includes(scope) || (isScope(scope) && hasScope(known, scope)));
}

function withImplied(scopes: readonly string[]): readonly string[] {
  const all = new Set(scopes);
  if (all.has('operator.admin')) all.add('operator.write');
  if (all.has('operator.write')) all.add('operator.read');
  return [...all].toSorted();
}

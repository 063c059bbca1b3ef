import { CELL_KINDS, type CellKind, type ObjectKey } from '../plan/objects.ts';

const groupPath = (apiVersion: string): string =>
  apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;

/** Where all objects of a kind are listed and watched. */
export const collectionPath = (kind: CellKind): string =>
  `${groupPath(CELL_KINDS[kind].apiVersion)}/${CELL_KINDS[kind].resource}`;

/** Where an object of that kind is created. */
export function createPath({ kind, namespace }: ObjectKey): string {
  const { apiVersion, resource, namespaced } = CELL_KINDS[kind];
  return namespaced
    ? `${groupPath(apiVersion)}/namespaces/${namespace}/${resource}`
    : `${groupPath(apiVersion)}/${resource}`;
}

/** Where one object is read, replaced and deleted. */
export const objectPath = (key: ObjectKey): string => `${createPath(key)}/${key.name}`;

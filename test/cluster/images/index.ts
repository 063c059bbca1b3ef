/** Images made without a container registry, for `loadImages` of a kind cluster. */
export { type ImageConfig, type LayerEntry, writeImage, writeImages, writeLayer } from './archive.ts';
export { probeImage, workerImage } from './go-image.ts';
export { operatorImage } from './operator.ts';
export { postgresImage } from './postgres.ts';
export type { LocalImage } from './store.ts';

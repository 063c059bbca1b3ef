# The operator's image: docker build --tag bulkhead.local/operator:0.1.0 .
# Node runs TypeScript as it is, so there is nothing to compile: production dependencies, as the lock file has them, and
# the sources. Any base with Node 24 does. This one is Node 24.18.0 for all its platforms, by digest, so that a build of
# today is the build of tomorrow; take a newer one with `docker buildx imagetools inspect node:24-bookworm-slim`.
ARG BASE_IMAGE=node:24-bookworm-slim@sha256:6f7b03f7c2c8e2e784dcf9295400527b9b1270fd37b7e9a7285cf83b6951452d

# First, since it needs no command to be run in it: a base may have neither a shell nor npm.
FROM ${BASE_IMAGE} AS program
ENV NODE_ENV=production
WORKDIR /app
COPY package.json ./
COPY src ./src
USER 65532:65532
ENTRYPOINT ["node", "src/cli/main.ts"]
CMD ["run"]

# --target staged: with the node_modules of the build context, as test/cluster/images/operator.ts stages them.
FROM program AS staged
COPY node_modules ./node_modules

FROM ${BASE_IMAGE} AS modules
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund

FROM program
COPY --from=modules /app/node_modules ./node_modules

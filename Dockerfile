# The operator's image. Node runs TypeScript as it is, so there is nothing to compile: the build context holds
# package.json, src/ and node_modules with production dependencies only, as test/cluster/images/operator.ts stages it.
# By hand: npm ci --omit=dev --omit=optional --ignore-scripts && docker build -t bulkhead .
ARG BASE_IMAGE=node:24-bookworm-slim
FROM ${BASE_IMAGE}
ENV NODE_ENV=production
WORKDIR /app
COPY package.json ./
COPY node_modules ./node_modules
COPY src ./src
USER 65532:65532
ENTRYPOINT ["node", "src/cli/main.ts"]
CMD ["run"]

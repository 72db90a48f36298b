# syntax=docker/dockerfile:1

# The program in one file.
FROM node:24.21.0-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci
COPY build.ts ./
COPY src ./src
RUN node build.ts

# Its node is copied, so that the version is the one pinned here and not what a base image brings.
FROM node:24.21.0-bookworm-slim AS node

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=node /usr/local/bin/node /usr/local/bin/node
COPY --from=build /src/package.json /app/package.json
COPY --from=build /src/dist /app/dist
ENV NODE_ENV=production AUTH_SHIM_CONFIG=/etc/auth-shim/shim.config.yaml
USER 65532:65532
EXPOSE 18780
# Nothing is written: run it with a read-only root. The health check asks the admin listener or, where the configuration
# has none, the public one.
HEALTHCHECK --interval=30s --timeout=10s --start-period=5s CMD ["/usr/local/bin/node", "/app/dist/main.js", "wait", "--live", "--timeout", "5s"]
ENTRYPOINT ["/usr/local/bin/node", "/app/dist/main.js"]
CMD ["serve"]

# Objects of many kinds as R saves them, and what is in them in a plain form: Rscript tests/r_objects.R FOLDER
suppressPackageStartupMessages({
  library(Matrix)
  library(SeuratObject)
  library(SingleCellExperiment)
})
folder <- commandArgs(trailingOnly = TRUE)[1]
set.seed(1)

genes <- c("ACTB", "RPL3", "MT-CO1", paste0("Gene-", 4:25))
cells <- paste0("Zelle_", sprintf("%02d", 1:40), "-1")
n_genes <- length(genes)
n_cells <- length(cells)
counts <- matrix(rpois(n_genes * n_cells, 0.6), n_genes, n_cells, dimnames = list(genes, cells))
sparse <- as(counts, "CsparseMatrix")
lognormal <- log1p(sparse / 3)

latin1 <- "fr\xfch"
Encoding(latin1) <- "latin1"
obs <- data.frame(
  label = factor(rep(c("B cell", "β-Zelle", NA, "T cell"), 10), levels = c("T cell", "unused", "β-Zelle", "B cell")),
  text = rep(c("a", NA, "NA", "µ", latin1), 8),
  whole = rep(1:4, 10),
  whole_missing = rep(c(1L, NA, 3L, -2L), 10),
  number = rep(c(0.1, NA, 3, 1e10), 10),
  flag = rep(c(TRUE, FALSE), 20),
  flag_missing = rep(c(TRUE, FALSE, NA, TRUE), 10),
  sequence = 1:40,
  row.names = cells
)

write_strings <- function(x, name) {
  x <- enc2utf8(as.character(x))
  connection <- file(file.path(folder, name), "wb")
  writeLines(ifelse(is.na(x), "<NA>", x), connection, useBytes = TRUE)
  close(connection)
}
# Genes × cells as doubles by column, names and annotation as lines.
oracle <- function(name, m, obs = NULL) {
  m <- as.matrix(m)
  writeBin(as.double(m), file.path(folder, paste0(name, ".counts")))
  write_strings(rownames(m), paste0(name, ".genes"))
  write_strings(colnames(m), paste0(name, ".cells"))
  for (column in names(obs)) {
    values <- obs[[column]]
    kind <- if (is.factor(values) || is.character(values)) "text" else if (is.logical(values)) "flag" else "number"
    values <- if (kind == "number") sprintf("%.17g", values) else as.character(values)
    write_strings(values, paste(name, column, kind, "obs", sep = "."))
  }
}
keep <- function(name, object, m, obs = NULL, save = saveRDS, ...) {
  save(object, file.path(folder, name), ...)
  oracle(name, m, obs)
}

# Matrices ---------------------------------------------------------------------------------------------
keep("dgCMatrix.rds", sparse, counts)
keep("dgTMatrix.rds", as(sparse, "TsparseMatrix"), counts)
keep("dgRMatrix.rds", as(sparse, "RsparseMatrix"), counts)
keep("lgCMatrix.rds", sparse > 0, (counts > 0) * 1)
keep("dgeMatrix.rds", as(as(counts, "dMatrix"), "unpackedMatrix"), counts)
keep("integer.rds", counts, counts)
keep("double.rds", counts * 1.0, counts)
keep("logical.rds", counts > 0, (counts > 0) * 1)
missing <- counts
missing[3, 5] <- NA
keep("missing.rds", missing, missing)
keep("turned.rds", t(`dimnames<-`(counts, list(sub("Gene-", "RPS", genes), cells))),
     `dimnames<-`(counts, list(sub("Gene-", "RPS", genes), cells)))
keep("turned_sparse.rds", t(`dimnames<-`(sparse, list(sub("Gene-", "RPS", genes), cells))),
     `dimnames<-`(counts, list(sub("Gene-", "RPS", genes), cells)))
# Names that R has not made yet: saved as numbers, and made when they are read.
numbered <- counts
dimnames(numbered) <- list(as.character(c(1:24, 100000L)), as.character(seq(0.5, 20, 0.5)))
keep("deferred.rds", numbered, numbered)
stopifnot(any(grepl("deferred_string", rawToChar(replace(s <- serialize(numbered, NULL), s == 0, as.raw(1))))))
thousands <- counts
dimnames(thousands) <- list(as.character((1:25) * 1e5), as.character(c(0.1 + 0.2, 1/3, 1e-5, 1e15, 123456.7, 5:39)))
keep("deferred_double.rds", thousands, thousands)

# How it is saved --------------------------------------------------------------------------------------
for (compress in c("gzip", "bzip2", "xz")) keep(paste0(compress, ".rds"), sparse, counts, compress = compress)
keep("plain.rds", sparse, counts, compress = FALSE)
keep("version2.rds", sparse, counts, version = 2)
little <- function(object, path, version, compress) {
  connection <- if (compress) gzfile(path, "wb") else file(path, "wb")
  serialize(object, connection, xdr = FALSE, version = version)
  close(connection)
}
for (version in 2:3) for (compress in c(TRUE, FALSE))
  keep(paste0("little", version, if (compress) ".gz" else "", ".rds"), sparse, counts, save = little, version = version, compress = compress)
saveRDS(sparse, file.path(folder, "ascii.rds"), ascii = TRUE)
save_alone <- function(object, path, ...) save(object, file = path, ...)
keep("alone.rda", sparse, counts, save = save_alone)
keep("alone2.RData", sparse, counts, save = save_alone, version = 2, compress = "xz")
keep("alone_plain.rda", sparse, counts, save = save_alone, compress = FALSE)
first <- sparse
second <- `colnames<-`(sparse, paste0("second", cells))
a_table <- obs
save(first, a_table, second, file = file.path(folder, "several.rda"))
oracle("several.rda", second)
save(a_table, first, file = file.path(folder, "one_of_several.rda"))
oracle("one_of_several.rda", first)

# Things that R objects drag along ---------------------------------------------------------------------
compiled <- compiler::cmpfun(function(x, ...) {
  for (i in seq_along(x)) if (x[[i]] > 1L) return(function(y) y + x[[i]] + sum(...)) else next
  switch(as.character(x), a = 1, b = { y <- quote(z[1]); y }, stop("none"))
})
for (i in 1:3) compiled(c(0, 2))
model <- lm(number ~ whole, obs)
recursive <- new.env()
recursive$self <- recursive
recursive$f <- compiled
lockEnvironment(recursive)
deep <- NULL
for (i in 1:3000) deep <- list(deep)
deep_call <- quote(x)
for (i in 1:1000) deep_call <- call("f", deep_call, 1)
delayedAssign("promised", stop("not to be evaluated"))
with_promise <- (function(x) environment())(stop("not to be evaluated"))
junk <- list(
  model = model, formula = y ~ x | z, compiled = compiled, environment = recursive, global = globalenv(),
  namespace = asNamespace("stats"), package = as.environment("package:stats"), base = baseenv(), empty = emptyenv(),
  builtin = sum, special = `if`, complex = 1i, raw = as.raw(1:200), expression = expression(a + b, c),
  pairlist = pairlist(a = 1, 2), symbol = as.name("x"), missing = quote(expr = ), dots = function(...) NULL,
  generic = show, class = getClass("dgCMatrix"), deep = deep, deep_call = deep_call, wide = as.list(1:66000),
  long = as.list(as.character(1:5000)), promise = with_promise, sequence = 1:1e6, reals = as.double(1:100000),
  sorted = sort(c(3L, 1L, 2L, rep(5L, 100))), pointer = methods::new("externalptr"), big = strrep("x", 700000),
  with_source = eval(parse(text = "function(x) x  # kept", keep.source = TRUE)), Recall = Recall,
  reference = setRefClass("Counter", fields = list(n = "numeric", data = "list"))$new(n = 1, data = list(1)),
  bytes = `Encoding<-`("\xff\xfe", "bytes"), date = Sys.Date(), many = paste0("name", 1:30000), rda = NA_character_
)

# Seurat -----------------------------------------------------------------------------------------------
seurat <- CreateSeuratObject(sparse, meta.data = obs)
seurat@assays$RNA@data <- lognormal
seurat@assays$RNA@scale.data <- as.matrix(lognormal)[1:5, ] - 1
antibodies <- matrix(rpois(5 * n_cells, 20), 5, n_cells, dimnames = list(paste0("AB-", 1:5), cells))
seurat[["ADT"]] <- CreateAssayObject(antibodies)
seurat@assays$RNA@meta.features <- data.frame(
  symbol = c(NA, tolower(genes[-1])), kind = factor(rep("g", n_genes)), mean = 1, row.names = genes
)
Idents(seurat) <- factor(rep(c("x", "y"), each = 20))
identity <- cbind(seurat@meta.data, active.ident = unname(Idents(seurat)))
keep("seurat.rds", seurat, counts, identity)
laden <- seurat
laden@assays$RNA@misc <- junk
laden@tools <- list(junk$compiled, junk$environment, junk$symbol)
keep("seurat_laden.rds", laden, counts, identity)
keep("seurat_plain.rds", laden, counts, identity, compress = FALSE)
keep("seurat_2.rds", laden, counts, identity, version = 2)
keep("seurat_little.rds", laden, counts, identity, save = little, version = 3, compress = TRUE)
oracle("antibodies", antibodies)
other <- seurat
DefaultAssay(other) <- "ADT"
keep("active_adt.rds", other, counts)
keep("no_rna.rds", `DefaultAssay<-`(RenameAssays(seurat, RNA = "Spatial"), value = "Spatial"), counts)
normalized <- seurat
normalized@assays$RNA@counts <- lognormal
saveRDS(normalized, file.path(folder, "counts_are_data.rds"))
emptied <- seurat
emptied@assays$RNA@counts <- new("dgCMatrix")
saveRDS(emptied, file.path(folder, "emptied.rds"))
emptied[["ADT"]] <- NULL
saveRDS(emptied, file.path(folder, "emptied_alone.rds"))
in_data <- emptied
in_data@assays$RNA@data <- sparse
keep("in_data.rds", in_data, counts)
only_integrated <- CreateSeuratObject(CreateAssayObject(data = lognormal), assay = "integrated")
saveRDS(only_integrated, file.path(folder, "integrated.rds"))
keep("assay.rds", seurat@assays$RNA, counts)

# Seurat 5, whose classes are defined as in its version ------------------------------------------------
setClass("LogMap", contains = "matrix")
setClass("Assay5", slots = c(layers = "list", cells = "LogMap", features = "LogMap", default = "integer",
  assay.orig = "character", meta.data = "data.frame", misc = "list", key = "character"))
log_map <- function(every, layers) new("LogMap", sapply(layers, function(some) every %in% some) |> `dimnames<-`(list(every, names(layers))))
assay5 <- function(layers, every_gene, every_cell, ...) {
  new("Assay5", layers = lapply(layers, unname), default = 1L, key = "rna_", assay.orig = character(0),
    cells = log_map(every_cell, lapply(layers, colnames)), features = log_map(every_gene, lapply(layers, rownames)), ...)
}
seurat5 <- seurat
odd <- seq(1, n_cells, 2)
even <- seq(2, n_cells, 2)
joined <- assay5(list(counts = sparse, data = lognormal), genes, cells,
  meta.data = data.frame(symbol = tolower(genes)), misc = list(junk$model))
seurat5@assays$RNA <- joined
keep("seurat5.rds", seurat5, counts, identity)
# Layers of two samples, the cells of which alternate in the object; each lacks genes that the other has.
split <- assay5(
  list(counts.odd = sparse[-2, odd], counts.even = sparse[-7, even], data.odd = lognormal[-2, odd], data.even = lognormal[-7, even]),
  genes, cells, meta.data = data.frame(symbol = tolower(genes))
)
seurat5@assays$RNA <- split
keep("split.rds", seurat5, counts[-c(2, 7), c(odd, even)], identity[c(odd, even), ])
oracle("split_even", counts[-7, even], identity[even, ])
seurat5@assays$RNA <- assay5(list(counts = sparse[, odd]), genes, cells)
keep("fewer_cells.rds", seurat5, counts[, odd], identity[odd, ])

# Seurat 2 ---------------------------------------------------------------------------------------------
setClass("seurat", slots = c(raw.data = "ANY", data = "ANY", scale.data = "ANY", meta.data = "data.frame", ident = "factor",
  assay = "list", cell.names = "character", misc = "list"))
setClass("assay", slots = c(raw.data = "ANY", data = "ANY", scale.data = "ANY", key = "character"))
kept <- sample(cells, 30)
seurat2 <- new("seurat", raw.data = sparse, data = lognormal[, kept], scale.data = NULL, meta.data = obs[kept, ],
  ident = factor(setNames(rep("a", 30), kept)), cell.names = kept, misc = list(junk$compiled),
  assay = list(CITE = new("assay", raw.data = antibodies[, kept], data = NULL, scale.data = NULL, key = "cite_")))
in_order <- cells[cells %in% kept]
keep("seurat2.rds", seurat2, counts[, in_order], cbind(obs[in_order, ], ident = rep("a", 30)))
oracle("cite", antibodies[, kept], obs[kept, ])

# SingleCellExperiment ---------------------------------------------------------------------------------
frame <- DataFrame(obs)
frame$runs <- Rle(c("x", NA, "z"), c(10, 10, 20))
frame$factor_runs <- Rle(factor(c("u", "v")), c(25, 15))
frame$list <- as.list(1:40)
frame$matrix <- matrix(1:80, 40)
sce <- SingleCellExperiment(
  list(logcounts = lognormal, counts = sparse), colData = frame,
  rowData = DataFrame(symbol = tolower(genes), length = 1:n_genes), metadata = list(junk$model, junk$environment), reducedDims = list(PCA = matrix(0.5, n_cells, 2)),
  altExps = list(ADT = SummarizedExperiment(list(counts = antibodies)))
)
as_obs <- cbind(obs, runs = as.vector(frame$runs), factor_runs = as.vector(frame$factor_runs))
keep("sce.rds", sce, counts, as_obs)
rowRanges(sce) <- GenomicRanges::GRanges("1", IRanges::IRanges(1:n_genes, width = 5, names = genes), symbol = tolower(genes))
keep("sce_ranges.rds", sce, counts, as_obs)
keep("sce_dense.rds", SingleCellExperiment(list(counts = counts)), counts)
keep("se.rds", SummarizedExperiment(list(other = lognormal, umi = counts), colData = obs), counts, obs)
unnamed <- counts
colnames(unnamed) <- 1:40
keep("unnamed.rds", SummarizedExperiment(list(`rownames<-`(unname(counts), genes))), unnamed)
shallow <- SummarizedExperiment(list(counts = sparse), colData = obs)
shallow@assays <- SummarizedExperiment:::.ShallowSimpleListAssays0(data = SimpleList(counts = unname(sparse)))
keep("shallow.rds", shallow, counts, obs)
saveRDS(SingleCellExperiment(list(logcounts = lognormal)), file.path(folder, "logcounts.rds"))
saveRDS(SingleCellExperiment(list(counts = Matrix::forceSymmetric(sparse[, 1:25] |> `dimnames<-`(NULL)))), file.path(folder, "symmetric.rds"))

# Neither ----------------------------------------------------------------------------------------------
setClass("Unheard", slots = c(counts = "ANY"))
for (other in list(list("list", list(a = 1, b = genes)), list("frame", obs), list("lm", model), list("function", compiled),
                   list("unheard", new("Unheard", counts = sparse)), list("null", NULL), list("environment", recursive),
                   list("strings", letters), list("number", 1), list("pattern", as(sparse, "nMatrix"))))
  saveRDS(other[[2]], file.path(folder, paste0("other_", other[[1]], ".rds")))

# Long names and columns -------------------------------------------------------------------------------
n_many <- 30000
many <- rsparsematrix(12, n_many, 0.3, rand.x = function(n) rpois(n, 3) + 1, dimnames = list(genes[1:12], sprintf("%s-%05d-%s", "ACGT", 1:n_many, strrep("x", 1 + 1:n_many %% 7))))
many_obs <- data.frame(label = factor(sample(letters, n_many, TRUE)), text = sample(c("one", "two", NA), n_many, TRUE), n = runif(n_many), row.names = colnames(many))
large <- CreateSeuratObject(many, meta.data = many_obs)
keep("large.rds", large, many, many_obs)
keep("large_plain.rds", large, many, many_obs, compress = FALSE)
keep("large_dense.rds", as.matrix(many), many)

# HDF5 -------------------------------------------------------------------------------------------------
if (requireNamespace("HDF5Array", quietly = TRUE)) suppressPackageStartupMessages({
  library(HDF5Array)
  stored <- writeHDF5Array(counts, file.path(folder, "stored.h5"), "counts", with.dimnames = FALSE)
  dimnames(stored) <- dimnames(counts)
  whole <- SingleCellExperiment(list(counts = stored), colData = obs)
  keep("hdf5.rds", whole, counts, obs)
  some <- sample(n_cells, 20)
  keep("hdf5_subset.rds", whole[c(9, 2, 5, 1), some], counts[c(9, 2, 5, 1), sort(some)], obs[sort(some), ])
  by_cell <- writeHDF5Array(t(counts), file.path(folder, "turned.h5"), "counts", with.dimnames = FALSE)
  dimnames(by_cell) <- dimnames(t(counts))
  keep("hdf5_turned.rds", SingleCellExperiment(list(counts = t(by_cell))), counts)
  twice <- cbind(whole[, 1:10], whole[, 30:21])
  keep("hdf5_bound.rds", twice, counts[, c(1:10, 21:30)], obs[c(1:10, 21:30), ])
  keep("hdf5_memory.rds", SingleCellExperiment(list(counts = DelayedArray(sparse)[, n_cells:1])), counts, NULL)
  saveRDS(DelayedArray(sparse)[, n_cells:1], file.path(folder, "hdf5_names.rds"))
  saveRDS(SingleCellExperiment(list(counts = log1p(stored))), file.path(folder, "hdf5_log.rds"))
  # Files of one small matrix that the caller has made: h5ad by cell, by gene and dense, and 10x. Not all of
  # R's versions can open them, so what opening makes is made here.
  path <- function(name) file.path(folder, paste0("small", name))
  small <- as.matrix(HDF5Array(path("_dense.h5ad"), "/X"))
  dimnames(small) <- list(paste0("gene", 0:11), paste0("cell", 0:29))
  seeds <- list(
    h5ad_csr = new("CSC_H5ADMatrixSeed", filepath = path("_csr.h5ad"), group = "/X", dim = dim(small)),
    h5ad_dense = seed(HDF5Array(path("_dense.h5ad"), "/X")),
    h5ad_csc = new("CSR_H5ADMatrixSeed", filepath = path("_csc.h5ad"), group = "/X", dim = dim(small)),
    tenx = new("TENxMatrixSeed", filepath = path(".h5"), group = "mm10", dim = dim(small), dimnames = dimnames(small))
  )
  for (name in names(seeds)) {
    experiment <- SingleCellExperiment(list(counts = small))
    assays(experiment, withDimnames = FALSE)$counts <- DelayedArray(seeds[[name]])
    keep(paste0(name, ".rds"), experiment, small)
  }
  HDF5Array::saveHDF5SummarizedExperiment(whole, file.path(folder, "saved"))
  oracle("saved", counts, obs)
})
writeLines("done", file.path(folder, "done"))

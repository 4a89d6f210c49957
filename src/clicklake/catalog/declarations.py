"""The lake's tables and files as Iceberg declares them."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.name_mapping import MappedField, NameMapping
from pyiceberg.transforms import IdentityTransform, MonthTransform
from pyiceberg.typedef import Record
from pyiceberg.types import (
    BooleanType,
    DateType,
    DoubleType,
    IcebergType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
)

from clicklake.lake import LiveFile, partition_values
from clicklake.schemas import TIMESTAMP, Table

TYPES: dict[pa.DataType, IcebergType] = {
    pa.int64(): LongType(),
    pa.int32(): IntegerType(),
    pa.float64(): DoubleType(),
    pa.bool_(): BooleanType(),
    pa.string(): StringType(),
    pa.date32(): DateType(),
    TIMESTAMP: TimestamptzType(),
}

NAME_MAPPING = "schema.name-mapping.default"
FIRST_PARTITION = 1000  # the id of the first partition field, as Iceberg numbers them


def columns(table: Table, stored: pa.Schema) -> dict[str, IcebergType]:
    """Name and type of a table's columns; the month is a partition, other folders are columns."""
    data = {field.name: TYPES[field.type] for field in stored}
    return data | {name: StringType() for name in table.partitions if not table.time}


def schema(table: Table, stored: pa.Schema) -> Schema:
    """All columns may be null: the files' footers do not tell which may."""
    fields = columns(table, stored).items()
    numbered = enumerate(fields, start=1)
    return Schema(*(NestedField(at, name, type_, required=False) for at, (name, type_) in numbered))


def partition_spec(table: Table, declared: Schema) -> PartitionSpec:
    """Monthly tables by the month of their time, others by the column of their folders."""
    if table.time:
        source = declared.find_field(table.time).field_id
        month = PartitionField(source, FIRST_PARTITION, MonthTransform(), f"{table.time}_month")
        return PartitionSpec(month)
    fields = [
        PartitionField(declared.find_field(name).field_id, at, IdentityTransform(), name)
        for at, name in enumerate(table.partitions, start=FIRST_PARTITION)
    ]
    return PartitionSpec(*fields)


def name_mapping(metadata: TableMetadata) -> str:
    """The column of each name, as files have names alone; of columns that have gone too."""
    fields = {field.name: field.field_id for each in metadata.schemas for field in each.fields}
    fields |= {field.name: field.field_id for field in metadata.schema().fields}
    mapped = [
        MappedField.model_validate({"field-id": number, "names": [name]})
        for name, number in fields.items()
    ]
    return NameMapping(mapped).model_dump_json()


def data_file(
    table: Table, file: LiveFile, uri: str, footer: pq.FileMetaData, metadata: TableMetadata
) -> DataFile:
    """A live file with its statistics, so that engines leave out what they need not read."""
    declared = metadata.schema()
    statistics = data_file_statistics_from_parquet_metadata(
        parquet_metadata=footer,
        stats_columns=compute_statistics_plan(declared, metadata.properties),
        parquet_column_mapping=parquet_path_to_id_mapping(declared),
    )
    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=uri,
        file_format=FileFormat.PARQUET,
        partition=_partition(table, file),
        file_size_in_bytes=file.bytes,
        sort_order_id=None,
        spec_id=metadata.default_spec_id,
        equality_ids=None,
        key_metadata=None,
        **statistics.to_serialized_dict(),
    )


def _partition(table: Table, file: LiveFile) -> Record:
    """Iceberg counts months from January 1970."""
    if file.month:
        year, month = file.month
        return Record((year - 1970) * 12 + month - 1)
    values = partition_values(file.path)
    return Record(*(values[name] for name in table.partitions))
